"""Five folds with the default recipe on each labelled set: `results/accuracy.md`.

    python -m benchmarks.accuracy.folds --data ../shared/data --work runs/folds

The folds are of four fifths of a set; the last fifth, by the hash of the films' names, is seen by
no fold, so that the ensemble and its trust score can be judged on it. The full legs are trained
once more from the bundled model. As many folds are trained at once as there are cores; in all
some six hours of a core. Stopped, it goes on where it was: what is measured is kept in
benchmarks/results/folds. On a GPU a fold has as many epochs as make about as many steps.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import (
    ON_GPU,
    LabelledSet,
    budget,
    cores,
    held_out,
    interval,
    keep,
    known,
    score_films,
    titled,
    where,
    write_section,
)
from boneseg.evaluation.trust import trust_quality
from boneseg.experiments.crossval import cross_validate
from boneseg.experiments.crossval_report import write_crossval_report
from boneseg.inference.engine import Engine
from boneseg.recipes.builtin import load_recipe
from boneseg.training.history import Check


@dataclass(frozen=True)
class Plan(LabelledSet):
    """The Dice to reach on a labelled set, and how long a fold is trained."""

    goal: float
    minutes: float  # of a CPU core
    epochs: int  # or on a GPU

    @property
    def key(self) -> str:
        return f"folds/{self.slug}"


PLANS = (
    Plan("knee-femur", 0.98, 8, 300),
    Plan("knee-tibia", 0.975, 10, 350),
    Plan("spine", 0.92, 6, 300),
    Plan("legs", 0.975, 24, 100),
    Plan("legs", 0.975, 18, 75, bundled=True),
)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--work", type=Path, default=Path("runs/folds"))
    words.add_argument("--sets", nargs="*", default=[plan.films for plan in PLANS])
    words.add_argument("--bundled", action="store_true", help="only what starts from ours")
    asked = words.parse_args()
    for plan in PLANS:
        if plan.films in asked.sets and plan.bundled >= asked.bundled and not known(plan.key):
            measure(plan, asked.data / plan.films, asked.work / plan.key)
        write_results()


def measure(plan: Plan, data: Path, out: Path) -> None:
    training, held = held_out(data)
    recipe = load_recipe("default").with_settings(budget(plan.minutes, plan.epochs))

    def tell(fold: int, check: Check) -> None:
        print(f"{plan.name} fold {fold} {check.done:4.0%}  Dice {check.dice:.4f}", flush=True)

    at_once = min(5, len(cores()))
    result = cross_validate(
        training, recipe, out, resume=True, parallel=at_once, init=plan.beginning(), report=tell
    )
    write_crossval_report(out / "report.html", result)
    engine = Engine(result.bundle)
    films, _, summary = score_films(engine, held)
    trust = [engine.find(film.radiograph.pixels).trust or 0.0 for film in films]
    dice = [case.scores.dice for case in summary.cases]
    found = trust_quality(trust, dice)
    document = {
        "out_of_fold": {"mean": result.summary.mean, "ci95": result.summary.ci95},
        "std": result.summary.std,
        "films": [len(training.cases), len(held.cases)],
        "folds": [fold.summary.mean["dice"] for fold in result.folds],
        "restarts": sum(fold.restarts for fold in result.folds),
        "failed": len(result.failed),
        "calibration": result.to_json()["calibration"],
        "ensemble": {"mean": summary.mean, "ci95": summary.ci95},
        "trust": [found.spearman, found.worst_tenth_flagged] if found else None,
        "pairs": [list(pair) for pair in zip(trust, dice, strict=True)],
    }
    keep(plan.key, document)


def write_results() -> None:
    lines = [
        f"Made by `python -m benchmarks.accuracy.folds`, recipe `default`, seed 0, {where()}.",
        "Out of fold: each film by the one model that never saw it. Ensemble: all five, on a fifth",
        "of the films that no fold saw; trust: its rank correlation with Dice there, and the share",
        "of the worst tenth among the least trusted fifth.",
        "",
        f"| set | films | {'epochs' if ON_GPU else 'minutes'} a fold | Dice, out of fold (95 %)"
        " | goal | failed, restarts | HD95 px | ensemble Dice | ECE before, after | trust"
        " | worst tenth found |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    pairs: list[list[float]] = []
    for plan in PLANS:
        if figures := known(plan.key):
            pairs += [] if plan.bundled else figures["pairs"]
            lines.append(row(plan, figures))
    together = trust_quality([t for t, _ in pairs], [d for _, d in pairs])
    if together:
        lines += [
            "",
            f"All {len(pairs)} held-out films together: trust ranks them with a correlation of "
            f"{together.spearman:.2f}; the least trusted fifth holds "
            f"{together.worst_tenth_flagged:.0%} of the worst tenth.",
        ]
    write_section(titled("Five folds"), lines)


def row(plan: Plan, found: dict[str, Any]) -> str:
    spent = plan.epochs if ON_GPU else plan.minutes
    oof, calibration, trust = found["out_of_fold"], found["calibration"], found["trust"]
    return (
        f"| {plan.name} | {found['films'][0]} + {found['films'][1]} | {spent} "
        f"| {oof['mean']['dice']:.4f} ± {found['std']['dice']:.4f} "
        f"({interval(oof['ci95']['dice'])}) | {plan.goal} "
        f"| {found['failed']}, {found['restarts']} | {oof['mean']['hd95_px']:.2f} "
        f"| {found['ensemble']['mean']['dice']:.4f} "
        f"| {calibration['ece_before']:.4f}, {calibration['ece_after']:.4f} "
        f"| {trust[0] if trust else '–'} | {f'{trust[1]:.0%}' if trust else '–'} |"
    )


if __name__ == "__main__":
    main()
