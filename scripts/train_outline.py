"""Train and score a small network that refines outlines on a finer grid: a trial, not in use.

    boneseg simulate --out films/body --count 400 --size 1024 --seed 20000000 --kind skeleton ...
    boneseg simulate --out films/test --count 60 --size 1024 --seed 21000000 --kind skeleton ...
    python -m scripts.train_outline --pools films/body --test films/test --steps 2200

The network sees the film at twice the scale of the working grid, in tiles along the outline, with
the probability that the model found there, and determines where the bone ends. Its answer counts
within `REACH` px of the working grid from where the model is uncertain or has an outline. It learns
from what `--models` (default: the bundled one) find, and from copies of it that are shifted,
blurred and less certain. Bone that a film does not show (`hidden/`) is left out of the loss. An
interrupted call is resumed by repeating it. benchmarks/results/outline.md has the figures.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional

from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle
from boneseg.evaluation.scores import score
from boneseg.inference.engine import Engine
from boneseg.preprocessing import Floats, resize, standardised

SEED = 0
WIDTHS = (40, 64, 96)  # channels at a quarter, an eighth and a sixteenth of the finer grid
PATCH = 4  # px of the finer grid, as channels
SCALE = 2.0  # of the finer grid, relative to the working grid
TILE, OVERLAP = 256, 32  # px of the finer grid
CROP = 192  # px of a tile in training
REACH = 4  # px of the working grid
CERTAIN = 0.95  # a probability above it, or below 1 - CERTAIN, is certain
BATCH, VIEWS, POOL = 8, 12, 144  # tiles of a step, of a film each time, and to draw from
RATE = 2e-3  # of learning, at its highest
AVERAGE = 0.985  # of the weights, a step
EVERY = 50  # steps between checkpoints

Network = Callable[[Floats], Floats]  # N x 2 x TILE x TILE to the probability, N x 1 x TILE x TILE


def band(coarse: Floats) -> Floats:
    """Where the outline is refined: weights in [0, 1] on the working grid, float32 H x W."""
    uncertain = np.abs(2 * coarse - 1) < 2 * CERTAIN - 1
    image = Image.fromarray((uncertain | edges(coarse >= 0.5)).astype(np.uint8) * 255)
    image = image.filter(ImageFilter.MaxFilter(2 * REACH + 1)).filter(ImageFilter.BoxBlur(1))
    return np.asarray(image, np.float32) / 255


def edges(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels that differ from the one above or to the left."""
    found = np.zeros_like(mask)
    found[1:] |= mask[1:] != mask[:-1]
    found[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    return found


def tile_input(film: Floats, coarse: Floats) -> Floats:
    """The network's input: the film, normalised over the tile, and 2 p - 1: 2 x TILE x TILE."""
    below, right = (TILE - side for side in film.shape)
    both = np.stack([standardised(film), 2 * coarse - 1])
    return np.pad(both, ((0, 0), (0, below), (0, right)), "edge")


def refined(network: Network, coarse: Floats, film: Floats) -> Floats:
    """The probability of bone on the finer grid of `film`, from that on the working grid."""
    size = (film.shape[0], film.shape[1])
    first, weight = (np.clip(resize(one, size), 0, 1) for one in (coarse, band(coarse)))
    total, weights = np.zeros_like(first), np.full_like(first, 1e-6)
    ramp = np.minimum(np.arange(1, TILE + 1), np.arange(TILE, 0, -1)) / OVERLAP
    feather = np.minimum(ramp, 1).astype(np.float32)
    for part in tiles(size):
        if weight[part].any():
            height, width = first[part].shape
            answer = network(tile_input(film[part], first[part])[None])[0, 0, :height, :width]
            share = feather[:height, None] * feather[None, :width]
            total[part] += answer * share
            weights[part] += share
    return first + weight * (total / weights - first) * (weights > 1e-3)


def tiles(size: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Tiles that cover a grid, with an overlap of at least `OVERLAP`."""
    for top in _starts(size[0]):
        for left in _starts(size[1]):
            yield np.s_[top : min(top + TILE, size[0]), left : min(left + TILE, size[1])]


def _starts(length: int) -> list[int]:
    if length <= TILE:
        return [0]
    count = -(-(length - OVERLAP) // (TILE - OVERLAP))
    return [round(i * (length - TILE) / (count - 1)) for i in range(count)]


class OutlineNetwork(nn.Module):
    """A small U-Net on patches of its input; its output is added to what it was given."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (2 * PATCH**2, *WIDTHS[:-1])
        self.down = nn.ModuleList(_block(a, b) for a, b in zip(inputs, WIDTHS, strict=True))
        pairs = list(zip(WIDTHS[1:], WIDTHS[:-1], strict=True))[::-1]
        self.up = nn.ModuleList(_block(below + here, here) for below, here in pairs)
        self.head = nn.Conv2d(WIDTHS[0], PATCH**2, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, tiles: Tensor) -> Tensor:
        """N x 2 x H x W (`tile_input`) to the logit of bone, N x 1 x H x W."""
        features, skipped = functional.pixel_unshuffle(tiles, PATCH), []
        for level, layers in enumerate(self.down):
            features = layers(functional.max_pool2d(features, 2) if level else features)
            skipped.append(features)
        skipped.pop()
        for layers in self.up:
            larger = functional.interpolate(features, scale_factor=2, mode="nearest")
            features = layers(torch.cat([larger, skipped.pop()], 1))
        change: Tensor = functional.pixel_shuffle(self.head(features), PATCH)
        return change + 4 * tiles[:, 1:2]


def _block(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions with batch norm."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        convolution = nn.Conv2d(channels, outputs, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


@dataclass(frozen=True)
class Film:
    """A film on its finer grid, its bone and the weight of each pixel; and what models found."""

    pixels: NDArray[np.float16]
    truth: NDArray[np.float16]
    weight: NDArray[np.float16]  # 0 where bone is hidden, highest along the true outline
    found: tuple[NDArray[np.float16], ...]  # of each model, on the working grid

    def views(self, rng: Generator) -> list[Floats]:
        """Random tiles: the two inputs, the truth and its weight, float32 4 x CROP x CROP."""
        chosen = 0 if rng.random() < 0.6 else int(rng.integers(len(self.found)))
        coarse = perturbed(self.found[chosen].astype(np.float32), rng)
        size = (self.pixels.shape[0], self.pixels.shape[1])
        film = standardised(changed(self.pixels.astype(np.float32), rng))
        first, inside = (np.clip(resize(one, size), 0, 1) for one in (coarse, band(coarse)))
        targets = (self.truth.astype(np.float32), inside * self.weight)
        rows, columns = np.nonzero(inside[::4, ::4] > 0.5)
        found = []
        for at in rng.integers(len(rows), size=VIEWS) if len(rows) else ():
            top, left = (
                int(np.clip(4 * where[at] - rng.integers(TILE), 0, max(0, side - TILE)))
                for where, side in ((rows, size[0]), (columns, size[1]))
            )
            part = np.s_[top : min(top + TILE, size[0]), left : min(left + TILE, size[1])]
            padding = [(0, TILE - side) for side in first[part].shape]
            answers = [np.pad(one[part], padding) for one in targets]
            view = np.stack([*tile_input(film[part], first[part]), *answers])
            view = np.rot90(view, rng.integers(4), (1, 2))
            view = view[:, :, ::-1] if rng.random() < 0.5 else view
            top, left = rng.integers(TILE - CROP + 1, size=2)
            crop = view[:, top : top + CROP, left : left + CROP]
            found.append(np.ascontiguousarray(crop, np.float32))
        return found


def read(folder: Path, name: str, engines: Sequence[Engine], scale: float) -> Film:
    """A simulated film, its finer grid at `scale` times the working grid."""
    pixels, mask, hidden = (
        np.asarray(Image.open(folder / kind / name).convert("L"), np.float32) / 255
        for kind in ("images", "masks", "hidden")
    )
    found = tuple(coarse_of(engine, pixels).astype(np.float16) for engine in engines)
    size = (round(found[0].shape[0] * scale), round(found[0].shape[1] * scale))
    truth = np.clip(resize(mask, size), 0, 1)
    outline = Image.fromarray(edges(truth >= 0.5).astype(np.uint8) * 255)
    near = outline.filter(ImageFilter.MaxFilter(11)).filter(ImageFilter.BoxBlur(2))
    weight = (0.15 + np.asarray(near, np.float32) / 255) * (resize(hidden, size) < 0.05)
    half = np.float16
    return Film(resize(pixels, size).astype(half), truth.astype(half), weight.astype(half), found)


def on_one_grid(path: Path) -> Engine:
    """A model without its second grid and its own pass along the outline."""
    bundle = load_bundle(path)
    return Engine(replace(bundle, card=replace(bundle.card, scales=(), outline=0.0)))


def coarse_of(engine: Engine, film: Floats) -> Floats:
    """The probability of bone on the working grid, where the film is."""
    size = (film.shape[0], film.shape[1])
    place = engine.bundle.preparation(size).place(size)
    return np.clip(resize(engine.probability(film), (place.height, place.width)), 0, 1)


def changed(film: Floats, rng: Generator) -> Floats:
    """A film in [0, 1] with other grey levels, sharpness, noise and compression."""
    size = (film.shape[0], film.shape[1])
    if rng.random() < 0.08:
        film = 1 - film
    if rng.random() < 0.5:
        film = np.clip(film, 0, 1) ** np.float32(np.exp(rng.uniform(-0.7, 0.7)))
    kind = rng.random()
    if kind < 0.35:
        film = gaussian_filter(film, np.exp(rng.uniform(-0.9, 0.9)), truncate=2.5)
    elif kind < 0.6:  # sharpened, as detectors do
        cell = rng.uniform(2, 16)
        cells = (max(2, int(size[0] / cell)), max(2, int(size[1] / cell)))
        film = film + np.float32(rng.uniform(0.2, 2)) * (film - resize(resize(film, cells), size))
    if rng.random() < 0.4:
        noise = rng.standard_normal(size, dtype=np.float32)
        film = film + noise * np.float32(np.exp(rng.uniform(np.log(0.003), np.log(0.08))))
    if rng.random() < 0.3:
        shade = resize(rng.standard_normal((4, 4), dtype=np.float32), size)
        film = film + np.float32(rng.uniform(0.02, 0.15)) * shade
    if rng.random() < 0.35:
        low, high = float(film.min()), float(film.max())
        levels, file = (film - low) / (high - low + 1e-6) * 255, io.BytesIO()
        Image.fromarray(levels.astype(np.uint8)).save(
            file, "JPEG", quality=int(rng.uniform(25, 95))
        )
        film = np.asarray(Image.open(file), np.float32) / 255
    return np.asarray(film, np.float32)


def perturbed(coarse: Floats, rng: Generator) -> Floats:
    """A probability as another model might give it: less certain, blurred, locally shifted."""
    if rng.random() < 0.5:
        return coarse
    logit = np.log((coarse + 1e-4) / (1 - coarse + 1e-4))
    if rng.random() < 0.5:
        logit = logit * np.exp(rng.normal(0, 0.3)) + rng.normal(0, 0.5)
    if rng.random() < 0.4:
        logit = gaussian_filter(logit, rng.uniform(0.3, 1.5))
    found = torch.from_numpy(np.asarray(1 / (1 + np.exp(-logit)), np.float32))
    if rng.random() < 0.6:
        size, cell = (coarse.shape[0], coarse.shape[1]), rng.uniform(6, 40)
        cells = (max(2, int(size[0] / cell)), max(2, int(size[1] / cell)))
        shifts = [resize(rng.standard_normal(cells, dtype=np.float32), size) for _ in range(2)]
        pixels = rng.uniform(0.2, 1.2) * np.stack(shifts, -1) * [2 / size[1], 2 / size[0]]
        grid = functional.affine_grid(torch.eye(2, 3)[None], [1, 1, *size], align_corners=False)
        grid = grid + torch.from_numpy(pixels.astype(np.float32))
        found = functional.grid_sample(
            found[None, None], grid, "bicubic", "border", align_corners=False
        )[0, 0]
    return np.clip(found.numpy(), 0, 1)


def trained(films: Sequence[Film], work: Path, steps: int) -> nn.Module:
    """A network trained for `steps`, resumed from `work` if it was interrupted."""
    torch.manual_seed(SEED)
    network = OutlineNetwork().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.01)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.1)
    ema = torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGE)
    average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=ema, use_buffers=True)
    parts = {"network": network, "optimiser": optimiser, "rate": rate, "average": average}
    path, first = work / "checkpoint.pt", 0
    if path.exists():
        saved = torch.load(path, weights_only=True)
        first = saved.pop("step")
        for name, state in saved.items():
            parts[name].load_state_dict(state)
    rng, views = default_rng([SEED, first]), list[Floats]()
    for step in range(first + 1, steps + 1):
        while len(views) < POOL:
            views += films[rng.integers(len(films))].views(rng)
        rng.shuffle(views)
        batch = torch.from_numpy(np.stack([views.pop() for _ in range(BATCH)]))
        given, truth, weight = batch.to(memory_format=torch.channels_last).split([2, 1, 1], dim=1)
        with torch.autocast("cpu", torch.bfloat16):
            logit = network(given)
        entropy = functional.binary_cross_entropy_with_logits(
            logit.float(), truth, reduction="none"
        )
        loss = (entropy * weight).sum() / (weight.sum() + 1)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        rate.step()
        average.update_parameters(network)
        if step % EVERY == 0 or step == steps:
            states = {name: part.state_dict() for name, part in parts.items()}
            torch.save({"step": step, **states}, path)
            print(f"{step}: loss {loss.item():.4f}", flush=True)
    return average.module.eval()


def scored(network: nn.Module, engine: Engine, folder: Path) -> None:
    """Print NSD at 2 px and Dice of each film, before and after."""

    def probability(given: Floats) -> Floats:
        with torch.inference_mode():
            found: Floats = network(torch.from_numpy(given)).sigmoid().numpy()
        return found

    rows = []
    for path in sorted((folder / "hidden").glob("*.png")):
        film = np.asarray(Image.open(folder / "images" / path.name).convert("L"), np.float32) / 255
        mask = np.asarray(Image.open(folder / "masks" / path.name)) > 127
        coarse = coarse_of(engine, film)
        size = (round(coarse.shape[0] * SCALE), round(coarse.shape[1] * SCALE))
        fine = refined(probability, coarse, standardised(resize(film, size)))
        before, after = (
            score(resize(one, (mask.shape[0], mask.shape[1])) >= 0.5, mask, None)
            for one in (coarse, fine)
        )
        rows.append((before.nsd, after.nsd, before.dice, after.dice))
        print(path.stem, *(f"{one:.3f}" for one in rows[-1]), flush=True)
    print("mean", *(f"{one:.3f}" for one in np.mean(rows, axis=0)))


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--pools", type=Path, nargs="+", required=True, help="folders of films")
    words.add_argument("--test", type=Path, help="a folder of films to score on")
    words.add_argument("--models", type=Path, nargs="+", default=[bundled()], help="bundles")
    words.add_argument("--work", type=Path, default=Path("runs/outline"))
    words.add_argument("--steps", type=int, default=2200)
    asked = words.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    engines, rng = [on_one_grid(path) for path in asked.models], default_rng(SEED)
    films = [
        read(folder, path.name, engines, SCALE if rng.random() < 0.65 else rng.uniform(1.2, 2.3))
        for folder in asked.pools
        for path in sorted((folder / "hidden").glob("*.png"))
    ]
    network = trained(films, asked.work, asked.steps)
    if asked.test:
        scored(network, engines[0], asked.test)


if __name__ == "__main__":
    main()
