"""One training on one, two and three devices: the same losses, and the same Dice.

    python -m benchmarks.scale.devices                         # a small network to its end
    python -m benchmarks.scale.devices --first 200 2000        # the default recipe, 20 steps
    python -m benchmarks.scale.devices --first 200 --batch-invariant

A device is a process on one CPU core; with fewer cores than devices they share them. Three seeds
each, on simulated films: the first 20 losses at the learning rate at which a training begins, and
Dice of the best check of a short training. With `--first`, only the first 20 losses, of the default
recipe in float32, at the learning rates of so many films: its warm-up is a part of the whole run.
With `--batch-invariant`, a small network is trained with `run.batch_invariant`, and the default
recipe both with and without, with the cost of a step.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import fmean, median, stdev
from unittest.mock import patch

from benchmarks.common import machine, write_section
from boneseg._util import runtime
from boneseg.dataset.load import Films, load_films
from boneseg.dataset.open import open_dataset
from boneseg.errors import TrainingError
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
)
# The rates of the first 20 steps of 100 epochs of 500 films: at higher ones, rounding grows faster.
BEGINNING = ("optimiser.learning_rate=4.8e-4", "optimiser.warmup=0.99", "run.epochs=6")
SIDE, SIMULATED = 256, 200  # films of `--first`: px, and how many there are in fact


class EnoughError(TrainingError):
    """All losses that are compared have been recorded."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--first", type=int, nargs="+", help="learning rates of so many films")
    parser.add_argument("--batch-invariant", action="store_true", help="with run.batch_invariant")
    asked = parser.parse_args()
    runtime.start()
    runtime.talk_to("127.0.0.1")
    if asked.first:
        if asked.batch_invariant:
            batch_invariant(asked.first[0], asked.seeds, asked.devices)
        else:
            first_losses(asked.first, asked.seeds, asked.devices)
    else:
        small_network(asked)


def first_losses(counts: list[int], seeds: int, devices: list[int]) -> None:
    """The first losses of the default recipe, and how far they are from those of one device."""
    lines = [
        f"`python -m benchmarks.scale.devices --first {' '.join(map(str, counts))}`, {machine()}, "
        "shared with other work: the default recipe",
        f"in float32 on {SIMULATED} simulated films of {SIDE} x {SIDE}, in batches of 4 (2, 1, 1 "
        "on three devices); the",
        "largest difference of the first losses from those of one device, by seed.",
        "",
        "| films that the warm-up is of | devices | first 5 losses | first 10 | first 20 |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        simulate(Path(folder) / "films", SIMULATED, seed=1, size=(SIDE, SIDE))
        films = load_films(open_dataset(Path(folder) / "films"), Path(folder), in_memory=0)
        for count in counts:
            epochs = f"run.epochs={100 * count // SIMULATED}"
            losses: dict[int, list[list[float]]] = {device: [] for device in devices}
            for seed in range(seeds):
                for device in devices:
                    out = Path(folder) / f"{count}-{device}-{seed}"
                    words = ("run.precision=fp32", f"run.seed={seed}", epochs)
                    losses[device].append(beginning(films, out, device, *words)[0])
            for device in devices[1:]:
                cells = [differences(losses[device], losses[devices[0]], n) for n in (5, 10, FIRST)]
                lines.append(f"| {count:,} | {device} | {' | '.join(cells)} |")
    print("\n".join(lines))
    write_section("The first losses of the default recipe on several devices", lines, PAGE)


def batch_invariant(count: int, seeds: int, devices: list[int]) -> None:
    """The same with and without `run.batch_invariant`, and the processor time of a step."""
    lines = [
        f"`python -m benchmarks.scale.devices --first {count} --batch-invariant`, {machine()},",
        f"shared with other work: the default recipe in float32 on {SIMULATED} simulated films of",
        f"{SIDE} x {SIDE}, in batches of 4; the largest difference of the first {FIRST} losses",
        "from those of one device, by seed, and the processor time of a step in the first process,",
        "the median over all seeds.",
        "",
        f"| `run.batch_invariant` | devices | first {FIRST} losses | a step |",
        "|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        simulate(Path(folder) / "films", SIMULATED, seed=1, size=(SIDE, SIDE))
        films = load_films(open_dataset(Path(folder) / "films"), Path(folder), in_memory=0)
        epochs = f"run.epochs={100 * count // SIMULATED}"
        losses: dict[tuple[str, int], list[list[float]]] = {}
        spent: dict[tuple[str, int], list[float]] = {}
        for seed in range(seeds):
            for device in devices:
                for way in ("false", "true"):  # in turn, as the machine may become slower
                    out = Path(folder) / f"{way}-{device}-{seed}"
                    words = ("run.precision=fp32", f"run.seed={seed}", epochs)
                    first, seconds = beginning(
                        films, out, device, *words, f"run.batch_invariant={way}"
                    )
                    losses.setdefault((way, device), []).append(first)
                    spent.setdefault((way, device), []).extend(seconds)
        for way, device in losses:
            cell = differences(losses[way, device], losses[way, devices[0]], FIRST)
            lines.append(f"| {way} | {device} | {cell} | {median(spent[way, device]):.3f} s |")
    print("\n".join(lines))
    write_section("The same losses on any number of devices", lines, PAGE)


def differences(ours: list[list[float]], theirs: list[list[float]], first: int) -> str:
    """The largest difference of the first losses, by seed."""
    found = []
    for mine, other in zip(ours, theirs, strict=True):
        pairs = zip(mine[:first], other[:first], strict=True)
        found.append(max(abs(one - two) for one, two in pairs))
    return ", ".join(f"{one:.0e}" for one in found)


def small_network(asked: argparse.Namespace) -> None:
    """The first losses and Dice of a small network."""
    way = ("run.batch_invariant=true",) if asked.batch_invariant else ()
    with tempfile.TemporaryDirectory() as folder:
        simulate(Path(folder) / "films", asked.films, seed=1, size=(192, 144))
        films = load_films(open_dataset(Path(folder) / "films"), Path(folder), in_memory=0)
        dice: dict[int, list[float]] = {count: [] for count in asked.devices}
        losses: dict[int, list[float]] = {count: [] for count in asked.devices}
        for seed in range(asked.seeds):
            for count in asked.devices:
                out = Path(folder) / f"{count}-{seed}"
                begun = (f"run.seed={seed}", *BEGINNING, *way)
                losses[count] += trained(films, out / "first", count, *begun)[0][:FIRST]
                whole = (f"run.seed={seed}", f"run.epochs={asked.epochs}", *way)
                dice[count].append(trained(films, out / "whole", count, *whole)[1])
    lines = [
        f"`python -m benchmarks.scale.devices{' --batch-invariant' if way else ''}`, {machine()}, "
        f"shared with other work: {asked.films}",
        "simulated films on a grid of 96 x 64, batches of 8 (3, 3 and 2 films on three devices), "
        "float32; the default",
        f"network at half its width, with batch norm. {asked.seeds} seeds; Dice after "
        f"{asked.epochs} epochs.",
        "",
        f"| devices | largest difference of the first {FIRST} losses from one device | Dice, mean "
        "± SD | Dice by seed |",
        "|---|---|---|---|",
    ]
    alone = losses[asked.devices[0]]
    for count in asked.devices:
        pairs = zip(losses[count], alone, strict=True)
        difference = max(abs(mine - theirs) for mine, theirs in pairs)
        spread = f"{fmean(dice[count]):.4f} ± {stdev(dice[count]):.4f}"
        each = ", ".join(f"{one:.4f}" for one in dice[count])
        lines.append(f"| {count} | {difference:.1e} | {spread} | {each} |")
    print("\n".join(lines))
    name = "One training on several devices"
    write_section(f"{name}, with run.batch_invariant" if way else name, lines, PAGE)


def trained(films: Films, out: Path, count: int, *settings: str) -> tuple[list[float], float]:
    """The losses of a training on so many devices, and its best Dice."""
    recipe = load_recipe("default").with_settings([*RECIPE, *settings])
    runtime.train_beside_others(1)
    places = [Place(rank, count, rank) for rank in range(count)]
    with recorded() as (losses, _):
        dice = train(films, recipe, out, places=places).best_dice
    print(f"{count} devices, {', '.join(settings)}: Dice {dice:.4f}", flush=True)
    return losses, dice


def beginning(
    films: Films, out: Path, count: int, *settings: str
) -> tuple[list[float], list[float]]:
    """The first losses of the default recipe on so many devices, and each step's CPU seconds."""
    runtime.train_beside_others(1)
    places = [Place(rank, count, rank) for rank in range(count)]
    with recorded(FIRST) as (losses, seconds), suppress(TrainingError):
        train(films, load_recipe("default").with_settings(settings), out, places=places)
    assert len(losses) == FIRST
    print(f"{count} devices, {', '.join(settings)}: {losses[-1]:.6f}", flush=True)
    return losses, seconds


@contextmanager
def recorded(most: int | None = None) -> Iterator[tuple[list[float], list[float]]]:
    """Keep loss and CPU seconds of each step of this process, and end the training after `most`."""
    losses: list[float] = []
    seconds: list[float] = []
    step = Loop._step

    def keep(loop: Loop) -> float:
        if len(losses) == most:
            raise EnoughError
        begun = time.process_time()
        losses.append(step(loop))
        seconds.append(time.process_time() - begun)
        return losses[-1]

    with patch.object(Loop, "_step", keep):
        yield losses, seconds


if __name__ == "__main__":
    main()
