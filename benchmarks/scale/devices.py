"""One training on one, two and three devices: the same losses, the same Dice, and the time.

    python -m benchmarks.scale.devices

A device is a process on one CPU core: with fewer cores than devices they share them. Three seeds
each, on simulated films; the first 20 losses, Dice of the best check, and steps a second after the
first ten.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from unittest.mock import patch

from benchmarks.common import machine, write_section
from boneseg._util import runtime
from boneseg.dataset.load import Films, load_films
from boneseg.dataset.open import open_dataset
from boneseg.recipes.builtin import load_recipe
from boneseg.simulate import simulate
from boneseg.training.loop import Loop
from boneseg.training.placement import Place
from boneseg.training.train import train

PAGE = Path(__file__).parents[1] / "results" / "scale.md"
FIRST = 20  # losses that are compared
RECIPE = (
    *("prepare.height=96", "prepare.width=64", "network.stem=1", "network.width=8"),
    *("run.batch=8", "run.precision=fp32", "run.ema=0.98"),
    "optimiser.warmup=0.5",  # of 90 steps, as long as in 100 epochs of 240 films by default
)


@dataclass
class Seen:
    """What the steps of a training gave, and when each ended."""

    losses: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    dice: float = 0.0

    @property
    def rate(self) -> float:
        """Steps a second, from the middle pause between two: some hold a check."""
        pauses = sorted(b - a for a, b in zip(self.ends[10:], self.ends[11:], strict=False))
        return 1 / pauses[len(pauses) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, default=48)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 3])
    asked = parser.parse_args()
    runtime.start()
    runtime.talk_to("127.0.0.1")
    with tempfile.TemporaryDirectory() as folder:
        simulate(Path(folder) / "films", asked.films, seed=1, size=(192, 144))
        films = load_films(open_dataset(Path(folder) / "films"), Path(folder), in_memory=0)
        runs = {
            count: [
                trained(films, Path(folder) / f"{count}-{seed}", count, seed, asked.epochs)
                for seed in range(asked.seeds)
            ]
            for count in asked.devices
        }
    lines = [
        f"`python -m benchmarks.scale.devices`, {machine()}, shared with other work: {asked.films} "
        f"simulated films on a grid of 96 x 64, batches of 8, {asked.epochs} epochs, float32, "
        f"{asked.seeds} seeds; the default network at half its width, with batch norm; one core a "
        "device.",
        "",
        f"| devices | largest difference of the first {FIRST} losses from one device | Dice, mean "
        "± SD | Dice by seed | steps/s |",
        "|---|---|---|---|---|",
    ]
    alone = runs[asked.devices[0]]
    for count, seeds in runs.items():
        pairs = [
            (mine, theirs)
            for run, reference in zip(seeds, alone, strict=True)
            for mine, theirs in zip(run.losses[:FIRST], reference.losses, strict=False)
        ]
        dice = [run.dice for run in seeds]
        spread = f"{fmean(dice):.4f} ± {stdev(dice):.4f}" if len(dice) > 1 else f"{dice[0]:.4f}"
        rate = fmean(run.rate for run in seeds)
        difference = max(abs(mine - theirs) for mine, theirs in pairs)
        each = ", ".join(f"{one:.4f}" for one in dice)
        lines.append(f"| {count} | {difference:.1e} | {spread} | {each} | {rate:.1f} |")
    print("\n".join(lines))
    write_section("One training on several devices", lines, PAGE)


def trained(films: Films, out: Path, count: int, seed: int, epochs: int) -> Seen:
    """A training on so many devices."""
    recipe = load_recipe("default").with_settings(
        [*RECIPE, f"run.seed={seed}", f"run.epochs={epochs}"]
    )
    runtime.train_beside_others(1)
    places = [Place(rank, count, rank) for rank in range(count)]
    with recorded() as seen:
        seen.dice = train(films, recipe, out, places=places).best_dice
    print(
        f"{count} devices, seed {seed}: Dice {seen.dice:.4f}, {seen.rate:.1f} steps/s", flush=True
    )
    return seen


@contextmanager
def recorded() -> Iterator[Seen]:
    """Keep the loss and the time of each step of this process."""
    seen, step = Seen(), Loop._step

    def keep(loop: Loop) -> float:
        loss = step(loop)
        seen.losses.append(loss)
        seen.ends.append(time.monotonic())
        return loss

    with patch.object(Loop, "_step", keep):
        yield seen


if __name__ == "__main__":
    main()
