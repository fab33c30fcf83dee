"""Five folds with the default recipe on each labelled set: `docs/results.md`.

    python benchmarks/folds.py --data ../shared/data --work runs/folds

The folds are of four fifths of a set; the last fifth, by the hash of the films' names, is seen by
no fold, so that the ensemble and its trust score can be judged on it. As many folds are trained at
once as there are cores; in all some five hours of a core. Stopped, it goes on where it was: what is
measured is kept in docs/figures/folds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from common import cores, held_back, interval, keep, known, score_films, write_section

from boneseg.crossval import cross_validate, trust_quality
from boneseg.engine import Engine
from boneseg.history import Check
from boneseg.recipes import load_recipe
from boneseg.report.crossval import write_crossval_report

MINUTES = {"knee-femur": 8, "knee-tibia": 10, "spine": 16, "legs": 24}  # of a core, a fold
GOALS = {"knee-femur": 0.98, "knee-tibia": 0.975, "spine": 0.92, "legs": 0.975}


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--work", type=Path, default=Path("runs/folds"))
    words.add_argument("--sets", nargs="*", default=list(MINUTES))
    asked = words.parse_args()
    for name in asked.sets:
        measure(name, asked.data / name, asked.work / name)
        write_results()


def measure(name: str, data: Path, out: Path) -> None:
    if known(f"folds/{name}"):
        return
    training, held = held_back(data)
    settings = [f"run.minutes={MINUTES[name]}", "run.clock=core"]
    recipe = load_recipe("default").with_settings(settings)

    def tell(fold: int, check: Check) -> None:
        print(f"{name} fold {fold} {check.done:4.0%}  Dice {check.dice:.4f}", flush=True)

    result = cross_validate(training, recipe, out, resume=True, parallel=len(cores()), report=tell)
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
    keep(f"folds/{name}", document)


def write_results() -> None:
    lines = [
        "Made by `python benchmarks/folds.py`, recipe `default`, seed 0, a CPU core a fold.",
        "Out of fold: each film by the one model that never saw it. Ensemble: all five, on a fifth",
        "of the films that no fold saw; trust: its rank correlation with Dice there, and the share",
        "of the worst tenth among the least trusted fifth.",
        "",
        "| set | films | minutes a fold | Dice, out of fold (95 %) | goal | failed, restarts |"
        " HD95 px | ensemble Dice | ECE before, after | trust | worst tenth found |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    pairs: list[list[float]] = []
    for name, minutes in MINUTES.items():
        if figures := known(f"folds/{name}"):
            pairs += figures["pairs"]
            lines.append(row(name, minutes, figures))
    together = trust_quality([t for t, _ in pairs], [d for _, d in pairs])
    if together:
        lines += [
            "",
            f"All {len(pairs)} held-back films together: trust ranks them with a correlation of "
            f"{together.spearman:.2f}; the least trusted fifth holds "
            f"{together.worst_tenth_flagged:.0%} of the worst tenth.",
        ]
    write_section("Five folds", lines)


def row(name: str, minutes: int, found: dict[str, Any]) -> str:
    oof, calibration, trust = found["out_of_fold"], found["calibration"], found["trust"]
    return (
        f"| {name} | {found['films'][0]} + {found['films'][1]} | {minutes} "
        f"| {oof['mean']['dice']:.4f} ± {found['std']['dice']:.4f} "
        f"({interval(oof['ci95']['dice'])}) | {GOALS[name]} "
        f"| {found['failed']}, {found['restarts']} | {oof['mean']['hd95_px']:.2f} "
        f"| {found['ensemble']['mean']['dice']:.4f} "
        f"| {calibration['ece_before']:.4f}, {calibration['ece_after']:.4f} "
        f"| {trust[0] if trust else '–'} | {f'{trust[1]:.0%}' if trust else '–'} |"
    )


if __name__ == "__main__":
    main()
