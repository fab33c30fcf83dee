"""What the bundled model is worth as a beginning: `docs/bundled-model.md`.

    python benchmarks/finetune.py --data ../shared/data --work runs/finetune

On 10, 20 and 40 films of each labelled set the default recipe is trained for 3 minutes of a CPU
core, from nothing and from the bundled model, by several seeds, and scored on the fifth of the set
that is held back (by the hash of the films' names). The spines that are left are 29. Stopped, it
goes on where it was: what is measured is kept in docs/figures/finetune, for each bundled model's
weights anew. A row is of the seeds that have run both ways.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import (
    DOCS,
    ON_GPU,
    Trial,
    budget,
    held_back,
    interval,
    keep,
    only,
    run_what_is_left,
    titled,
    train_and_score,
    where,
    write_section,
)

from boneseg.bundle import WEIGHTS, bundled, load_bundle
from boneseg.chance import paired_p
from boneseg.metrics import bootstrap_ci95
from boneseg.recipes import load_recipe

SETS = ("legs", "knee-femur", "knee-tibia", "spine")
COUNTS = (10, 20, 40)
SEEDS = (0, 1, 2)
MINUTES = 3
SEEN = 3000  # films in all, on a GPU: 300 epochs of 10, 75 of 40
PAGE = DOCS / "bundled-model.md"


@dataclass(frozen=True)
class Beginning(Trial):
    """Films of a set, so many of them, whether the bundled model is the beginning, and the seed."""

    films: str
    count: int
    beginning: str  # the first digits of the bundled weights' hash, or "nothing"
    seed: int

    @property
    def name(self) -> str:
        return f"finetune/{self.films}-{self.count}-{self.beginning}-{self.seed}"

    def run(self, data: Path, work: Path) -> str:
        training, held = held_back(data / self.films)
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
    write_section(titled("As a beginning"), table(model), PAGE)


def table(model: str) -> list[str]:
    """A row for each set and number of films."""
    lines = [
        f"Made by `python benchmarks/finetune.py`: recipe `default`, {where()},",
        f"{f'{SEEN} films seen in all' if ON_GPU else f'{MINUTES} minutes'}; with `--init bundled`",
        "and without, scored on films held back, each of them by its mean over the seeds.",
        "",
        "| set | films | seeds | from nothing (95 %) | from it (95 %) | gained | p | HD95 px |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return lines + [row for films in SETS for count in COUNTS for row in rows(films, count, model)]


def rows(films: str, count: int, model: str) -> list[str]:
    """The row of a set and a number of films; none where nothing has run both ways."""
    pairs = [
        [Beginning(films, count, at, seed).figures for at in ("nothing", model)] for seed in SEEDS
    ]
    ran = [pair for pair in pairs if all(pair)]
    if not ran:
        return []
    plain, tuned = zip(*ran, strict=True)
    before, after = (
        np.mean([list(one["dice"].values()) for one in runs], axis=0) for runs in (plain, tuned)
    )
    px = [np.mean([one["hd95_px"] for one in runs]) for runs in (plain, tuned)]
    return [
        f"| {films} | {tuned[0]['trained_on']} | {len(ran)} "
        f"| {before.mean():.4f} ({interval(bootstrap_ci95(before))}) "
        f"| {after.mean():.4f} ({interval(bootstrap_ci95(after))}) "
        f"| {after.mean() - before.mean():+.4f} | {paired_p(after, before):.3f} "
        f"| {px[0]:.1f} to {px[1]:.1f} |"
    ]


if __name__ == "__main__":
    main()
