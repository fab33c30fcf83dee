"""Dice against operations per film: what fewer cost, and where to save them.

    python -m benchmarks.accuracy.frontier --data ../shared/data --work runs/frontier [--sets spine]

The default recipe, and the same with a narrower, shallower, separable or coarser network, or with
half the pixels; each for 6 minutes of a CPU core, scored on a fifth of the films that none has
seen. The work is counted in a pass of the network over a film at its working size, and timed in our
engine, on one core, all in turn. Trainings are kept in benchmarks/results/frontier; times are new.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common import (
    SPEED,
    Trial,
    compile_for_each_size,
    gflop,
    held_out,
    interval,
    keep,
    machine,
    run_what_is_left,
    side_by_side,
    train_and_score,
    untrained,
    write_chart,
    write_section,
)
from boneseg._util.drawing.charts import logarithmic, scatter, spanning
from boneseg.inference.backends.openvino import OpenVino
from boneseg.recipes.builtin import load_recipe
from boneseg.recipes.recipe import Recipe

MINUTES = 6
VARIANTS = {
    "default": "",
    "stem 1": "network.stem=1",
    "fast": "network.stem=4",
    "width 32": "network.width=32",
    "stem 4, width 32": "network.stem=4 network.width=32",
    "separable, width 32": "network.block=separable network.width=32",
    "stem 1, width 8": "network.stem=1 network.width=8 network.max_width=128",
    "stem 1, width 4": "network.stem=1 network.width=4 network.max_width=64",
    "stem 1, 4 levels": "network.stem=1 network.levels=4",
    "stem 1, half the pixels": "network.stem=1 prepare.max_pixels=65536",
    "stem 1, half the pixels, width 8": (
        "network.stem=1 prepare.max_pixels=65536 network.width=8 network.max_width=128"
    ),
    "stem 1, separable": "network.stem=1 network.block=separable",
    "stem 1, separable, width 24": "network.stem=1 network.block=separable network.width=24",
}


@dataclass(frozen=True)
class Variant(Trial):
    """A variant on a labelled set."""

    films: str
    variant: str

    @property
    def name(self) -> str:
        return f"frontier/{self.films}-{self.variant.replace(', ', '-').replace(' ', '-')}"

    @property
    def recipe(self) -> Recipe:
        return load_recipe("default").with_settings(VARIANTS[self.variant].split())

    def run(self, data: Path, work: Path) -> str:
        training, held = held_out(data / self.films)
        timed = self.recipe.with_settings([f"run.minutes={MINUTES}", "run.clock=core"])
        scored = train_and_score(training, held, timed, work / self.name, lambda _: None)
        size = scored.run.recipe.prepare
        figures = {
            "dice": scored.summary.mean["dice"],
            "ci95": scored.summary.ci95["dice"],
            "hd95_px": scored.summary.mean["hd95_px"],
            "steps": scored.run.history[-1].step,
            "parameters": sum(p.numel() for p in scored.run.network.parameters()),
            "size": [size.height, size.width],
            "gflop": gflop(scored.run.network, size.height or 0, size.width or 0),
        }
        keep(self.name, figures)
        return f"{self.films}, {self.variant}: {figures['dice']:.4f}, {figures['gflop']:.2f} GFLOP"


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--work", type=Path, default=Path("runs/frontier"))
    words.add_argument("--sets", nargs="*", default=["spine"])
    words.add_argument("--train-only", action="store_true", help="the networks are timed later")
    words.add_argument("--report-only", action="store_true", help="of what is trained already")
    asked = words.parse_args()
    compile_for_each_size()
    trials = [Variant(films, variant) for films in asked.sets for variant in VARIANTS]
    if not asked.report_only:
        for line in run_what_is_left(trials, asked.data, asked.work):
            print(line, flush=True)
    if not asked.train_only:
        for films in asked.sets:
            done = [trial for trial in trials if trial.films == films and trial.figures]
            report(films, done)


def report(films: str, trials: list[Variant]) -> None:
    """The table and the chart, the most operations first."""
    trials = sorted(trials, key=lambda trial: -trial.figures["gflop"])
    seconds = times(trials)
    picture = f"frontier-{films}.svg"
    lines = [
        f"Made by `python -m benchmarks.accuracy.frontier` on {machine()}: {films},",
        f"{MINUTES} minutes of a core each, seed 0. ms: the network alone, in our engine.",
        "",
        "| | variant | working size | GFLOP | weights | ms | steps | Dice (95 %) | HD95 px |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for number, trial in enumerate(trials, 1):
        f = trial.figures
        lines.append(
            f"| {number} | {trial.variant} | {f['size'][0]} x {f['size'][1]} | {f['gflop']:.2f} "
            f"| {f['parameters']:,} | {1000 * seconds[trial.variant]:.1f} | {f['steps']} "
            f"| {f['dice']:.4f} ({interval(f['ci95'])}) | {f['hd95_px']:.2f} |"
        )
    title = "Dice against GFLOP a film, the variants by number"
    lines += ["", f"![{title}](../../docs/images/{picture})"]
    points = [(trial.figures["gflop"], trial.figures["dice"]) for trial in trials]
    drawn = scatter(
        "Dice against the work of a film",
        logarithmic([x for x, _ in points]),
        spanning([y for _, y in points]),
        points,
        unit="GFLOP a film",
        names=[str(number) for number in range(1, len(trials) + 1)],
    )
    write_chart(picture, drawn, width=600)
    print("\n".join(lines))
    write_section(f"Dice against work: {films}", lines, SPEED)


def times(trials: list[Variant]) -> dict[str, float]:
    """Seconds that each network takes for a film in our engine, with any weights."""
    with tempfile.TemporaryDirectory() as folder:
        calls = {trial.variant: engine(trial, Path(folder) / trial.name) for trial in trials}
        return side_by_side(calls, 15)


def engine(trial: Variant, path: Path) -> Callable[[], object]:
    """A call that takes a film through the network."""
    size = trial.figures["size"]
    backend = OpenVino(untrained(trial.recipe.settle([size]), path))
    film = np.zeros((1, 1, *size), np.float32)
    return lambda: backend(film)


if __name__ == "__main__":
    main()
