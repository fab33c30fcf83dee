"""The bundled model on the bone that simulated films show, by part: `results/bundled-model.md`.

    boneseg simulate --out films/hip --region hip --count 40 --size 512 --seed 31000000 ...
    python -m benchmarks.accuracy.shown films/hip films/knee

Dice without the pixels of `hidden/`, and NSD at 2 px without those outlines of either mask that are
within 2 px of hidden bone. Films without bone are left out. A set that `boneseg simulate` is still
writing will do.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from benchmarks.accuracy.bundled import ARMS, LEGS
from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle
from boneseg.evaluation.metrics import MaskPair, dice
from boneseg.inference.engine import Engine
from boneseg.radiograph.read import read_radiograph
from scripts.simulated_pools import films_of, mask_of

Mask = NDArray[np.bool_]
TOLERANCE = 2  # px


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("films", type=Path, nargs="+", help="folders that `boneseg simulate` wrote")
    words.add_argument("--model", type=Path, default=bundled(), help="a bundle")
    words.add_argument("--every", type=int, default=1, help="use each n-th film")
    asked = words.parse_args()
    engine = Engine(load_bundle(asked.model))
    scores: dict[str, list[tuple[float, float]]] = {}
    for folder in asked.films:
        for part, path in films_of(folder)[:: asked.every]:
            truth, hidden = mask_of(path, "masks"), mask_of(path, "hidden")
            if (truth & ~hidden).any():
                found = engine.find(read_radiograph(path)).mask
                scores.setdefault(part, []).append(shown(found, truth, hidden))
    if not scores:
        words.error("no film shows bone; give folders that `boneseg simulate` wrote")
    report(scores)


def shown(found: Mask, truth: Mask, hidden: Mask) -> tuple[float, float]:
    """Dice and NSD of what the film shows."""
    overlap = dice(MaskPair(found & ~hidden, truth & ~hidden))
    if not found.any():
        return overlap, 0.0
    pair, clear = MaskPair(found, truth), ~binary_dilation(hidden, iterations=TOLERANCE)
    near = [
        (away <= TOLERANCE)[clear[tuple(outline.T)]]
        for outline, away in zip(pair.boundaries, pair.distances, strict=True)
    ]
    counted = np.concatenate(near)
    return overlap, float(counted.mean()) if counted.size else 1.0


def report(scores: dict[str, list[tuple[float, float]]]) -> None:
    """A row a part, limbs and the mean of all parts."""
    print("| part | films | Dice, mean | median | NSD, mean | median |\n|---|---|---|---|---|---|")
    for part in sorted(scores):
        print(row(part, scores[part]))
    if limbs := [one for part in ARMS | LEGS for one in scores.get(part, [])]:
        print(row("arms and legs", limbs))
    means = np.mean([np.mean(values, axis=0) for values in scores.values()], axis=0)
    print(f"| mean of parts | | {means[0]:.3f} | | {means[1]:.3f} | |")


def row(name: str, values: Iterable[tuple[float, float]]) -> str:
    table = np.array(list(values))
    figures = np.stack([table.mean(axis=0), np.median(table, axis=0)], axis=1).ravel()
    return f"| {name} | {len(table)} | " + " | ".join(f"{one:.3f}" for one in figures) + " |"


if __name__ == "__main__":
    main()
