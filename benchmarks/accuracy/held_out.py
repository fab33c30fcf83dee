"""Train on each labelled set and score held-out films: `results/accuracy.md`.

    python -m benchmarks.accuracy.held_out --data ../shared/data --work runs/accuracy [--bundled]

A fifth of each set is held out by the hash of its names and never seen in training, neither for
weights nor for the threshold. Legs are trained from scratch and from the bundled model (with
`--bundled` from that alone). Stopped, it goes on where it was. `--share 0.2` trains for a fifth of
the time, for a quick look. The worst films of each set are drawn into the work folder, which stays
outside the repository: the films may not be passed on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import (
    ACCURACY,
    LabelledSet,
    held_out,
    interval,
    teller,
    train_and_score,
    write_section,
)
from boneseg._util.drawing.overlay import overlay
from boneseg.dataset.load import Film
from boneseg.inference.batch import segment_files
from boneseg.inference.engine import Engine
from boneseg.masks.formats.png import save_png
from boneseg.recipes.builtin import load_recipe

TITLE = "Trained for a fixed time, scored on held-out films"


@dataclass(frozen=True)
class Goal(LabelledSet):
    """The training time on a labelled set (at most the limit), and the Dice to reach."""

    minutes: float
    dice: float
    hd95_px: float


GOALS = (
    Goal("legs", 40, 0.975, 4),
    Goal("legs", 40, 0.975, 4, bundled=True),
    Goal("knee-tibia", 8, 0.975, 5),
    Goal("knee-femur", 6, 0.98, 4),
    Goal("spine", 10, 0.92, 15),
)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--work", type=Path, default=Path("runs/accuracy"))
    words.add_argument("--sets", nargs="*", default=[goal.films for goal in GOALS])
    words.add_argument("--share", type=float, default=1.0, help="of each set's minutes")
    words.add_argument("--bundled", action="store_true", help="only what starts from ours")
    words.add_argument("--recipe", default="default")
    words.add_argument("--set", dest="settings", action="append", default=[])
    asked = words.parse_args()
    for goal in GOALS:
        if goal.films in asked.sets and goal.bundled >= asked.bundled:
            measure(goal, asked)
    if asked.share == 1 and asked.recipe == "default" and not asked.settings:
        write_results(asked.work)


def measure(goal: Goal, asked: argparse.Namespace) -> None:
    out = asked.work / goal.slug
    figures = out / "figures.json"
    if figures.exists():
        return
    training, held = held_out(asked.data / goal.films)
    minutes = goal.minutes * asked.share
    recipe = load_recipe(asked.recipe).with_settings([f"run.minutes={minutes}", *asked.settings])
    load = os.getloadavg()[0]
    scored = train_and_score(training, held, recipe, out, teller(goal.name), goal.beginning())
    summary, card = scored.summary, scored.bundle.card
    dice = [case.scores.dice for case in summary.cases]
    for rank, index in enumerate(np.argsort(dice)[:3], start=1):
        draw(scored.films[index], scored.found[index], out / f"worst-{rank}.png")
    document = {
        "minutes": minutes,
        "training": len(training.cases),
        "held_out": len(held.cases),
        "load": round(load, 2),
        "restarts": scored.run.restarts,
        "threshold": card.threshold,
        "size": [card.height, card.width],
        "steps": scored.run.history[-1].step,
        "cold_seconds": cold_start(scored.films[0], scored.bundle.path),
        "films_per_second": throughput(scored.films, scored.engine),
        "recipe": card.recipe,
        **summary.to_json(),
    }
    figures.write_text(json.dumps(document, indent=2))
    mean = summary.mean
    print(f"{goal.name}: Dice {mean['dice']:.4f}, HD95 {mean['hd95_px']:.2f} px", flush=True)


def draw(film: Film, mask: np.ndarray, path: Path) -> None:
    """The film, the truth on it, the mask on it."""
    views = [overlay(film.radiograph.pixels, part) for part in (mask & False, film.mask, mask)]
    save_png(path, Image.fromarray(np.hstack(views)))


def cold_start(film: Film, bundle: Path) -> float:
    """Seconds from the start of the process to its end, for one film; the best of three."""
    times = []
    with tempfile.TemporaryDirectory() as out:
        call = [sys.executable, "-c", "from boneseg.cli import main; main()", "segment"]
        call += [str(film.case.image), "--out", out, "--model", str(bundle)]
        for _ in range(3):
            started = time.perf_counter()
            subprocess.run(call, check=True, capture_output=True)
            times.append(time.perf_counter() - started)
    return round(min(times), 3)


def throughput(films: list[Film], engine: Engine) -> float:
    """Films a second over a folder, reading and writing included."""
    with tempfile.TemporaryDirectory() as out:
        started = time.perf_counter()
        segment_files([film.case.image for film in films], Path(out), engine)
        return round(len(films) / (time.perf_counter() - started), 2)


def write_results(work: Path) -> None:
    """results/accuracy.md from what has been measured so far; other sets keep the row they have."""
    before = ACCURACY.read_text(encoding="utf-8").splitlines() if ACCURACY.exists() else []
    lines = [
        "Made by `python -m benchmarks.accuracy.held_out`: recipe `default`, seed 0, two CPU",
        "cores. A fifth of each set, chosen by the hash of the films' names, took no part in",
        "training. Nothing in",
        "the sets says which films are of one patient, so patient independence cannot be shown.",
        "",
        "| set | trained on / held out | minutes | Dice (95 %) | goal | HD95 px (95 %) | goal"
        " | one film, cold | films/s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for goal in GOALS:
        path = work / goal.slug / "figures.json"
        if not path.exists():
            lines += [line for line in before if line.startswith(f"| {goal.name} |")]
            continue
        found = json.loads(path.read_text())
        mean, ci = found["mean"], found["ci95"]
        lines.append(
            f"| {goal.name} | {found['training']} / {found['held_out']} | {found['minutes']:g} "
            f"| {mean['dice']:.4f} ({interval(ci['dice'])}) | {goal.dice} "
            f"| {mean['hd95_px']:.2f} ({interval(ci['hd95_px'], 2)}) "
            f"| {goal.hd95_px:g} | {found['cold_seconds']} s | {found['films_per_second']} |"
        )
    write_section(TITLE, lines)


if __name__ == "__main__":
    main()
