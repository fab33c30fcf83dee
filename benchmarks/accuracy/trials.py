"""The trials of the original, and ours, at equal time: `results/accuracy.md`.

    python -m benchmarks.accuracy.trials --data ../shared/data --work runs/trials

Every recipe but `large`, which asks for a GPU, gets 6 minutes of one CPU core on knee-femur;
`default` and `seed-deep` meet on knee-tibia (6) and spine (12) as well; the five best of
knee-femur, and `seed-deep`, get 20 minutes each on legs. A fifth of each set is held out by the
hash of its names. As many trials run at once as there are cores; in all some five hours of a core.
Stopped, it goes on where it was: finished trials are kept in benchmarks/results/trials. On a GPU
every recipe trains in full, for its own epochs, which for the original's are those of the original.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import (
    ON_GPU,
    Trial,
    budget,
    held_out,
    interval,
    keep,
    run_what_is_left,
    titled,
    train_and_score,
    where,
    write_section,
)
from boneseg.errors import TrainingError
from boneseg.evaluation.statistics import bootstrap_ci95, paired_p
from boneseg.recipes.builtin import BUILT_IN, load_recipe

FIRST = "seed-deep"  # the recipe that all others are compared with


@dataclass(frozen=True)
class Timed(Trial):
    """A recipe on a labelled set for so many minutes."""

    films: str
    recipe: str
    minutes: float

    @property
    def name(self) -> str:
        return f"trials/{self.films}-{self.recipe}"

    def run(self, data: Path, work: Path) -> str:
        training, held = held_out(data / self.films)
        recipe = load_recipe(self.recipe).with_settings(budget(self.minutes))
        figures: dict[str, Any] = {"minutes": self.minutes, "dice": 0.0}
        try:
            out = work / self.films / self.recipe
            scored = train_and_score(training, held, recipe, out, lambda _: None)
        except TrainingError as error:
            figures["failed"] = str(error).partition(": ")[2]
        else:
            cases, mean = scored.summary.cases, scored.summary.mean
            figures |= {
                "dice": mean["dice"],
                "hd95_px": mean["hd95_px"],
                "parameters": sum(p.numel() for p in scored.run.network.parameters()),
                "steps": scored.run.history[-1].step,
                "epochs": scored.run.history[-1].epoch,
                "restarts": scored.run.restarts,
                "films": {case.name: round(case.scores.dice, 6) for case in cases},
                "curve": [
                    [row.epoch if ON_GPU else row.seconds, round(row.dice, 5)]
                    for row in scored.run.history
                ],
            }
        keep(self.name, figures)
        return f"{self.films} {self.recipe}: Dice {figures['dice']:.4f}"


NAMES = [FIRST, "default", *(n for n in BUILT_IN if n not in (FIRST, "default", "large"))]
NAMES += ["large"] if ON_GPU else []
WIDE = [Timed("knee-femur", name, 6) for name in NAMES]
SIDE_BY_SIDE = [
    Timed(films, name, minutes)
    for films, minutes in (("knee-tibia", 6), ("spine", 12))
    for name in (FIRST, "default")
]


def deep() -> list[Timed]:
    """The five best on knee-femur, and the reference, on legs."""
    done = [(figures["dice"], trial.recipe) for trial in WIDE if (figures := trial.figures)]
    best = [name for _, name in sorted(done, reverse=True)[:5]]
    return [Timed("legs", name, 20) for name in dict.fromkeys([FIRST, "default", *best])]


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--work", type=Path, default=Path("runs/trials"))
    asked = words.parse_args()
    for trials in (lambda: WIDE[:2] + SIDE_BY_SIDE + WIDE[2:], deep):
        for line in run_what_is_left(trials(), asked.data, asked.work):
            print(line, flush=True)
            write_results()
    write_results()


def write_results() -> None:
    for title, trials in (
        ("Every recipe on knee-femur", WIDE),
        ("The best of them on legs", deep()),
        ("default against seed-deep on knee-tibia", SIDE_BY_SIDE[:2]),
        ("default against seed-deep on spine", SIDE_BY_SIDE[2:]),
    ):
        done = [(trial, figures) for trial in trials if (figures := trial.figures)]
        if done:
            write_section(titled(title), table(done))


def table(done: list[tuple[Timed, dict[str, Any]]]) -> list[str]:
    """A row a trial, the best first; p and the time are relative to `FIRST`."""
    first = next((figures for trial, figures in done if trial.recipe == FIRST), None)
    if first is not None and "failed" in first:
        first = None
    best = max((dice for _, dice in first["curve"]), default=None) if first else None
    unit = "Epochs" if ON_GPU else "Minutes"
    spent = "its own epochs" if ON_GPU else f"{done[0][0].minutes:g} minutes"
    lines = [
        f"Made by `python -m benchmarks.accuracy.trials`, seed 0, {where()}, for {spent};",
        "a fifth held out, as above.",
        f"p: of the difference to `{FIRST}` (paired bootstrap over the held-out films).",
        f"{unit} to a validation Dice of 0.95, of 0.97, and to the best of `{FIRST}`.",
        "",
        f"| recipe | Dice (95 %) | p | HD95 px | to 0.95 | to 0.97 | to `{FIRST}` | weights "
        "| steps | restarts |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for trial, figures in sorted(done, key=lambda one: -one[1]["dice"]):
        if "failed" in figures:
            lines.append(f"| `{trial.recipe}` | failed: {figures['failed']} | | | | | | | | |")
            continue
        dice = list(figures["films"].values())
        p = "–"
        if first is not None and trial.recipe != FIRST:
            p = f"{paired_p(dice, list(first['films'].values())):.3f}"
        lines.append(
            f"| `{trial.recipe}` | {figures['dice']:.4f} ({interval(bootstrap_ci95(dice))}) | {p} "
            f"| {figures['hd95_px']:.2f} "
            f"| {' | '.join(reached(figures, aim) for aim in (0.95, 0.97, best))} "
            f"| {figures['parameters']:,} | {figures['steps']} | {figures['restarts']} |"
        )
    return lines


def reached(figures: dict[str, Any], aim: float | None) -> str:
    """The minutes, or on a GPU the epochs, until a validation Dice."""
    if aim is None:
        return "–"
    times = [time for time, dice in figures["curve"] if dice >= aim]
    return f"{times[0] / (1 if ON_GPU else 60):.1f}" if times else "never"


if __name__ == "__main__":
    main()
