"""The trials of the original, and ours, at equal time: `docs/results.md`.

    python benchmarks/trials.py --data ../shared/data --work runs/trials

Every recipe but `large`, which asks for a GPU, gets 6 minutes on knee-femur; `default` and
`seed-deep` meet on knee-tibia (6) and spine (12) as well; the five best of knee-femur, and
`seed-deep`, get 20 minutes each on legs. A fifth of each set is held back by the hash of its
names. In all some five hours on two cores: stopped, it goes on where it was. Finished trials are
kept in docs/trials/, figures alone, and are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import RESULTS, held_back, interval, teller, train_and_score, write_section

from boneseg.chance import paired_p
from boneseg.errors import TrainingError
from boneseg.metrics import bootstrap_ci95
from boneseg.recipes import BUILT_IN, load_recipe

KEPT = RESULTS.parent / "trials"
FIRST = "seed-deep"  # what every other recipe is held against


@dataclass(frozen=True)
class Trial:
    """A recipe on a labelled set for so many minutes."""

    films: str
    recipe: str
    minutes: float

    @property
    def path(self) -> Path:
        return KEPT / f"{self.films}-{self.recipe}.json"

    @property
    def figures(self) -> dict[str, Any] | None:
        """What it scored; None where it has not run."""
        return json.loads(self.path.read_text()) if self.path.exists() else None


NAMES = [FIRST, "default", *(n for n in BUILT_IN if n not in (FIRST, "default", "large"))]
WIDE = [Trial("knee-femur", name, 6) for name in NAMES]
SIDE_BY_SIDE = [
    Trial(films, name, minutes)
    for films, minutes in (("knee-tibia", 6), ("spine", 12))
    for name in (FIRST, "default")
]


def deep() -> list[Trial]:
    """The five best on knee-femur, and what they are held against, on legs."""
    known = [(figures["dice"], trial.recipe) for trial in WIDE if (figures := trial.figures)]
    best = [name for _, name in sorted(known, reverse=True)[:5]]
    return [Trial("legs", name, 20) for name in dict.fromkeys([FIRST, "default", *best])]


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--work", type=Path, default=Path("runs/trials"))
    asked = words.parse_args()
    KEPT.mkdir(exist_ok=True)
    for trial in WIDE[:2] + SIDE_BY_SIDE + WIDE[2:]:
        run(trial, asked)
    for trial in deep():
        run(trial, asked)


def run(trial: Trial, asked: argparse.Namespace) -> None:
    if trial.path.exists():
        return
    training, held = held_back(asked.data / trial.films)
    recipe = load_recipe(trial.recipe).with_settings([f"run.minutes={trial.minutes}"])
    name, load = f"{trial.films} {trial.recipe}", os.getloadavg()[0]
    figures: dict[str, Any] = {"minutes": trial.minutes, "load": round(load, 2), "dice": 0.0}
    try:
        out = asked.work / trial.films / trial.recipe
        scored = train_and_score(training, held, recipe, out, teller(name))
    except TrainingError as error:
        figures["failed"] = str(error).partition(": ")[2]
    else:
        cases, mean = scored.summary.cases, scored.summary.mean
        figures |= {
            "dice": mean["dice"],
            "hd95_px": mean["hd95_px"],
            "parameters": sum(p.numel() for p in scored.run.network.parameters()),
            "steps": scored.run.history[-1].step,
            "restarts": scored.run.restarts,
            "films": {case.name: round(case.scores.dice, 6) for case in cases},
            "curve": [[row.seconds, round(row.dice, 5)] for row in scored.run.history],
        }
    trial.path.write_text(json.dumps(figures) + "\n", encoding="utf-8")
    print(f"{name}: Dice {figures['dice']:.4f}", flush=True)
    write_results()


def write_results() -> None:
    for title, trials in (
        ("Every recipe on knee-femur, 6 minutes each", WIDE),
        ("The best of them on legs, 20 minutes each", deep()),
        ("default against seed-deep on knee-tibia, 6 minutes", SIDE_BY_SIDE[:2]),
        ("default against seed-deep on spine, 12 minutes", SIDE_BY_SIDE[2:]),
    ):
        done = [(trial, figures) for trial in trials if (figures := trial.figures)]
        if done:
            write_section(title, table(done))


def table(done: list[tuple[Trial, dict[str, Any]]]) -> list[str]:
    """A row a trial, the best first; p and the time are held against `FIRST`."""
    first = next((figures for trial, figures in done if trial.recipe == FIRST), None)
    lines = [
        "Made by `python benchmarks/trials.py`, seed 0, two CPU cores; films held back as above.",
        f"p: of the difference to `{FIRST}` (paired bootstrap over the films held back). To its",
        f"Dice: minutes until the best validation Dice of `{FIRST}` was reached.",
        "",
        "| recipe | Dice (95 %) | p | HD95 px | to its Dice | weights | steps | restarts |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for trial, figures in sorted(done, key=lambda one: -one[1]["dice"]):
        if "failed" in figures:
            lines.append(f"| `{trial.recipe}` | failed: {figures['failed']} | | | | | | |")
            continue
        dice = list(figures["films"].values())
        p = "–"
        if first is not None and "failed" not in first and trial.recipe != FIRST:
            p = f"{paired_p(dice, list(first['films'].values())):.3f}"
        lines.append(
            f"| `{trial.recipe}` | {figures['dice']:.4f} ({interval(bootstrap_ci95(dice))}) | {p} "
            f"| {figures['hd95_px']:.2f} | {_reached(figures, first)} | {figures['parameters']:,} "
            f"| {figures['steps']} | {figures['restarts']} |"
        )
    return lines


def _reached(figures: dict[str, Any], first: dict[str, Any] | None) -> str:
    if first is None or "failed" in first:
        return "–"
    aim = max(dice for _, dice in first["curve"])
    times = [seconds for seconds, dice in figures["curve"] if dice >= aim]
    return f"{times[0] / 60:.1f} min" if times else "never"


if __name__ == "__main__":
    main()
