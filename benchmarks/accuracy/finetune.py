"""The benefit of a warm start from the bundled model: `results/bundled-model.md`.

    python -m benchmarks.accuracy.finetune --data ../shared/data --work runs/finetune

On 10, 20 and 40 films of each labelled set the default recipe is trained for 3 minutes of a CPU
core, from scratch and from the bundled model, by several seeds, and scored on the fifth of the set
that is held out (by the hash of the films' names). The spines that are left are 29. Stopped, it
goes on where it was: what is measured is kept in benchmarks/results/finetune, for each bundled
model's weights anew. A row is of the seeds that have run both ways.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import (
    BUNDLED_MODEL,
    KIND,
    ON_GPU,
    Trial,
    budget,
    held_out,
    interval,
    keep,
    only,
    run_what_is_left,
    titled,
    train_and_score,
    where,
    write_chart,
    write_section,
)
from boneseg._util.drawing.charts import curve, linear, spanning
from boneseg.bundle.card import WEIGHTS
from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle
from boneseg.evaluation.statistics import bootstrap_ci95, paired_p
from boneseg.recipes.builtin import load_recipe

SETS = ("legs", "knee-femur", "knee-tibia", "spine")
COUNTS = (10, 20, 40)
SEEDS = (0, 1, 2)
MINUTES = 3
SEEN = 3000  # films in all, on a GPU: 300 epochs of 10, 75 of 40


@dataclass(frozen=True)
class Beginning(Trial):
    """A set, the number of films, whether the bundled model is the warm start, and the seed."""

    films: str
    count: int
    beginning: str  # the first digits of the bundled weights' hash, or "nothing"
    seed: int

    @property
    def name(self) -> str:
        return f"finetune/{self.films}-{self.count}-{self.beginning}-{self.seed}"

    def run(self, data: Path, work: Path) -> str:
        training, held = held_out(data / self.films)
        names = [case.name for case in training.cases]
        some = np.linspace(0, len(names) - 1, min(self.count, len(names))).round().astype(int)
        few = only(training, [names[index] for index in some])
        settings = [*budget(MINUTES, SEEN // self.count), f"run.seed={self.seed}"]
        recipe = load_recipe("default").with_settings(settings)
        init = None if self.beginning == "nothing" else load_bundle(bundled())
        out = work / self.name
        summary = train_and_score(few, held, recipe, out, lambda _: None, init).summary
        figures = {
            "trained_on": len(few.cases),
            "dice": {case.name: round(case.scores.dice, 6) for case in summary.cases},
            "hd95_px": summary.mean["hd95_px"],
        }
        keep(self.name, figures)
        return f"{self.name}: Dice {summary.mean['dice']:.4f}"


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--work", type=Path, default=Path("runs/finetune"))
    words.add_argument("--sets", nargs="*", default=list(SETS))
    words.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    asked = words.parse_args()
    model = load_bundle(bundled()).card.files[WEIGHTS][:8]
    trials = [
        Beginning(films, count, beginning, seed)
        for seed in asked.seeds
        for films in asked.sets
        for count in COUNTS
        for beginning in ("nothing", model)
    ]
    for line in run_what_is_left(trials, asked.data, asked.work):
        print(line, flush=True)
    write_section(titled("Warm start from the bundled model"), table(model), BUNDLED_MODEL)


def table(model: str) -> list[str]:
    """A row for each set and number of films."""
    lines = [
        f"Made by `python -m benchmarks.accuracy.finetune`: recipe `default`, {where()},",
        f"{f'{SEEN} films seen in all' if ON_GPU else f'{MINUTES} minutes'}; with `--init bundled`",
        f"(weights {model}) and without, scored on held-out films, each of them by its mean over",
        "the seeds.",
        "",
        "| set | films | seeds | from scratch (95 %) | from it (95 %) | gained | p | HD95 px |",
        "|---|---|---|---|---|---|---|---|",
    ]
    pictures = []
    for films in SETS:
        found = [one for count in COUNTS if (one := gain(films, count, model))]
        lines += [one.row() for one in found]
        pictures += [draw(films, found)] if found else []
    return [
        *lines,
        "",
        "From scratch in grey, from it in colour, over the number of films:",
        *pictures,
    ]


@dataclass(frozen=True)
class Gain:
    """The benefit of a warm start: Dice of each held-out film (mean over seeds), both ways."""

    films: str
    count: int
    seeds: int
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    hd95_px: tuple[float, float]  # before and after

    def row(self) -> str:
        ways = (
            f"{one.mean():.4f} ({interval(bootstrap_ci95(one))})"
            for one in (self.before, self.after)
        )
        return (
            f"| {self.films} | {self.count} | {self.seeds} | {' | '.join(ways)} "
            f"| {self.after.mean() - self.before.mean():+.4f} "
            f"| {paired_p(self.after, self.before):.3f} "
            f"| {self.hd95_px[0]:.1f} to {self.hd95_px[1]:.1f} |"
        )


def gain(films: str, count: int, model: str) -> Gain | None:
    """Over the seeds that have run both ways; None if none has."""
    ways = ("nothing", model)
    pairs = [[Beginning(films, count, at, seed).figures for at in ways] for seed in SEEDS]
    ran = [pair for pair in pairs if all(pair)]
    if not ran:
        return None
    before, after = (
        np.mean([list(pair[way]["dice"].values()) for pair in ran], axis=0) for way in (0, 1)
    )
    px = [float(np.mean([pair[way]["hd95_px"] for pair in ran])) for way in (0, 1)]
    return Gain(films, ran[0][1]["trained_on"], len(ran), before, after, (px[0], px[1]))


def draw(films: str, gains: list[Gain]) -> str:
    """A chart of both ways; the Markdown that includes it."""
    name = f"finetune-{films}{KIND and f'-{KIND}'}.svg"
    before = [(one.count, float(one.before.mean())) for one in gains]
    after = [(one.count, float(one.after.mean())) for one in gains]
    up = spanning([dice for _, dice in before + after])
    chart = curve(
        f"Dice on {films}", linear(max(COUNTS)), up, [before, after], unit=f"films of {films}"
    )
    write_chart(name, chart, width=400)
    return f"![Dice on {films}, from scratch and from the model](../../docs/images/{name})"


if __name__ == "__main__":
    main()
