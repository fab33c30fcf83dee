"""Training and large films, ours and MONAI's, on the same machine in the same run.

    python -m benchmarks.comparison.against_monai --data ../shared/data/knee-femur [--quick]

Training: films a second of our loop with the default recipe, and of a loop as MONAI's tutorials
write it (CacheDataset, dictionary transforms that do what our augmentation does, DiceCELoss, AdamW)
with the very same network, and with MONAI's own BasicUNet; float32 as the tutorials have it, and
bfloat16 by autocast. Large films: 2048 squared through MONAI's SlidingWindowInferer and through our
engine's tiles.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset, DataLoader
from monai.inferers import SlidingWindowInferer
from monai.losses import DiceCELoss
from monai.networks.nets import BasicUNet
from monai.transforms import (
    Compose,
    RandAdjustContrastd,
    RandFlipd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandRotated,
    RandScaleIntensityd,
    RandZoomd,
)

from benchmarks.common import (
    SPEED,
    compile_for_each_size,
    default_at,
    held_out,
    machine,
    side_by_side,
    untrained,
    write_section,
)
from boneseg.bundle.store import load_network
from boneseg.dataset.load import read_films
from boneseg.inference.backends.openvino import OpenVino
from boneseg.inference.tiles import tiled
from boneseg.networks import build
from boneseg.preprocessing import Preparation
from boneseg.recipes.builtin import load_recipe
from boneseg.recipes.recipe import Recipe
from boneseg.training.device import training_dtype
from boneseg.training.tensors import PreparedFilms, prepare_films
from boneseg.training.train import train

BOTH = ["film", "mask"]


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data/knee-femur"))
    words.add_argument("--minutes", type=float, default=2.0, help="of each loop")
    words.add_argument("--quick", action="store_true", help="a quarter of a minute of each")
    asked = words.parse_args()
    compile_for_each_size()
    minutes = 0.25 if asked.quick else asked.minutes
    dataset, _ = held_out(asked.data)
    films = read_films(dataset.cases)
    recipe = load_recipe("default").settle([film.shape for film in films])
    size = Preparation(recipe.prepare.height or 0, recipe.prepare.width or 0)
    prepared = prepare_films(films, size)
    with tempfile.TemporaryDirectory() as folder:
        timed = recipe.with_settings([f"run.minutes={minutes}"])
        run = train(dataset, timed, Path(folder) / "run")
        last = run.history[-1]
        rates = {"boneseg": last.step * (recipe.run.batch or 1) / last.seconds}
        large = large_films(Path(folder))
    basic = BasicUNet(2, 1, 1, features=(16, 32, 64, 128, 256, 16))
    for name, network, kind in (
        ("MONAI's loop, our network, fp32", build(recipe.network), torch.float32),
        ("MONAI's loop, our network, bf16", build(recipe.network), torch.bfloat16),
        ("MONAI's loop, BasicUNet, fp32", basic, torch.float32),
    ):
        rates[name] = their_rate(network, prepared, recipe, kind, 60 * minutes)
        print(f"{name}: {rates[name]:.1f} films/s", flush=True)
    lines = report(asked.data.name, size, recipe, rates, large)
    print("\n".join(lines))
    if not asked.quick:
        write_section("Training and large films compared with MONAI", lines, SPEED)


def their_rate(
    network: torch.nn.Module,
    films: PreparedFilms,
    recipe: Recipe,
    kind: torch.dtype,
    seconds: float,
) -> float:
    """Films a second of a training loop after MONAI's tutorials."""
    a = recipe.augment
    angle = np.radians(a.rotation)
    transforms = Compose(
        [
            RandFlipd(BOTH, prob=a.flip_horizontal, spatial_axis=1),
            RandRotated(BOTH, range_x=angle, prob=a.geometry, mode=["bilinear", "nearest"]),
            RandZoomd(
                BOTH,
                prob=a.geometry,
                min_zoom=1 - a.zoom,
                max_zoom=1 + a.zoom,
                mode=["bilinear", "nearest"],
            ),
            RandAdjustContrastd(["film"], prob=a.gamma),
            RandScaleIntensityd(["film"], factors=0.3, prob=a.contrast),
            RandGaussianSmoothd(["film"], prob=a.blur),
            RandGaussianNoised(["film"], prob=a.noise),
        ]
    )
    items = [
        {"film": film, "mask": mask}
        for film, mask in zip(films.films, films.masks.float(), strict=True)
    ]
    loader = DataLoader(
        CacheDataset(items, transforms, progress=False),
        batch_size=recipe.run.batch or 1,
        shuffle=True,
    )
    loss = DiceCELoss(sigmoid=True)
    optimiser = torch.optim.AdamW(network.parameters(), recipe.optimiser.learning_rate)
    network.train()
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        for batch in loader:
            optimiser.zero_grad()
            with torch.autocast("cpu", kind, enabled=kind != torch.float32):
                found = network(batch["film"])
                found = found[0] if isinstance(found, list) else found
            step_loss = loss(found.float(), batch["mask"])
            step_loss.backward()
            optimiser.step()
            done += len(batch["film"])
            if time.perf_counter() - started > seconds:
                break
    return done / (time.perf_counter() - started)


def large_films(folder: Path) -> dict[str, float]:
    """Seconds for a film of 2048 squared in windows of 512 squared that overlap by a quarter."""
    bundle = untrained(default_at(512, 512), folder / "bundle")
    grid = np.random.default_rng(0).normal(size=(2048, 2048)).astype(np.float32)
    network, backend = load_network(bundle), OpenVino(bundle)
    inferer = SlidingWindowInferer((512, 512), sw_batch_size=4, overlap=0.25, mode="gaussian")

    def theirs() -> object:
        with torch.inference_mode():
            given: Any = torch.from_numpy(grid[None, None])
            found: Any = inferer(given, network)
            return found.sigmoid().numpy()

    def ours() -> object:
        return tiled(lambda tile: one(backend, tile), grid, Preparation(512, 512))

    runs: dict[str, Callable[[], object]] = {"boneseg": ours, "SlidingWindowInferer": theirs}
    return side_by_side(runs, 3, warm=1)


def one(backend: OpenVino, tile: np.ndarray) -> np.ndarray:
    found: np.ndarray = backend(np.ascontiguousarray(tile[None, None]))[0, 0]
    return found


def report(
    name: str, size: Preparation, recipe: Recipe, rates: dict[str, float], large: dict[str, float]
) -> list[str]:
    kind = str(training_dtype(recipe.run.precision, torch.device("cpu")))[6:]
    lines = [
        f"Made by `python -m benchmarks.comparison.against_monai` on {machine()}: {name} at",
        f"{size.height} x {size.width}, {recipe.run.batch} films a step, the whole loop with its",
        f"augmentation (and, in ours, its checks on validation films); ours computes in {kind}.",
        "",
        "| loop | films/s | ours is faster by |",
        "|---|---|---|",
    ]
    ours = rates["boneseg"]
    lines += [f"| {loop} | {rate:.1f} | {ours / rate:.1f} |" for loop, rate in rates.items()]
    ratio = large["SlidingWindowInferer"] / large["boneseg"]
    return [
        *lines,
        "",
        "A film of 2048 squared, the same network and windows: "
        + ", ".join(f"{who} {seconds:.2f} s" for who, seconds in large.items())
        + f" ({ratio:.1f} times).",
    ]


if __name__ == "__main__":
    main()
