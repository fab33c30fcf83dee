"""What the bundled model is worth as a beginning: `docs/bundled-model.md`.

    python benchmarks/finetune.py --data ../shared/data --work runs/finetune

On 10, 20 and 40 films of each labelled set the default recipe is trained for 3 minutes of a CPU
core, from nothing and from the bundled model, and scored on the fifth of the set that is held back
(by the hash of the films' names). The spines that are left are 29. Stopped, it goes on where it
was: what is measured is kept in docs/figures/finetune, for each bundled model's weights anew.
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
MINUTES = 3
SEEN = 3000  # films in all, on a GPU: 300 epochs of 10, 75 of 40
PAGE = DOCS / "bundled-model.md"


@dataclass(frozen=True)
class Beginning(Trial):
    """Films of a set, so many of them, and whether the bundled model is the beginning."""

    films: str
    count: int
    beginning: str  # the first digits of the bundled weights' hash, or "nothing"

    @property
    def name(self) -> str:
        return f"finetune/{self.films}-{self.count}-{self.beginning}"

    def run(self, data: Path, work: Path) -> str:
        training, held = held_back(data / self.films)
        names = [case.name for case in training.cases]
        some = np.linspace(0, len(names) - 1, min(self.count, len(names))).round().astype(int)
        few = only(training, [names[index] for index in some])
        recipe = load_recipe("default").with_settings(budget(MINUTES, SEEN // self.count))
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
    asked = words.parse_args()
    model = load_bundle(bundled()).card.files[WEIGHTS][:8]
    trials = [
        Beginning(films, count, beginning)
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
        f"Made by `python benchmarks/finetune.py`: recipe `default`, seed 0, {where()},",
        f"{f'{SEEN} films seen in all' if ON_GPU else f'{MINUTES} minutes'}; with `--init bundled`",
        "and without, scored on films held back.",
        "",
        "| set | films | from nothing (95 %) | from the model (95 %) | gained | p | HD95 px |",
        "|---|---|---|---|---|---|---|",
    ]
    for films in SETS:
        for count in COUNTS:
            plain = Beginning(films, count, "nothing").figures
            tuned = Beginning(films, count, model).figures
            if not (plain and tuned):
                continue
            before, after = (list(one["dice"].values()) for one in (plain, tuned))
            means = [sum(dice) / len(dice) for dice in (before, after)]
            lines.append(
                f"| {films} | {tuned['trained_on']} "
                f"| {means[0]:.4f} ({interval(bootstrap_ci95(before))}) "
                f"| {means[1]:.4f} ({interval(bootstrap_ci95(after))}) "
                f"| {means[1] - means[0]:+.4f} | {paired_p(after, before):.3f} "
                f"| {plain['hd95_px']:.1f} to {tuned['hd95_px']:.1f} |"
            )
    return lines


if __name__ == "__main__":
    main()
