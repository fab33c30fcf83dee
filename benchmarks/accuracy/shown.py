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
from PIL import Image
from scipy.ndimage import binary_dilation
from scipy.spatial import KDTree

from benchmarks.accuracy.bundled import ARMS, LEGS
from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle
from boneseg.evaluation.metrics import boundary
from boneseg.inference.engine import Engine
from boneseg.radiograph.read import read_radiograph
from scripts.simulated_pools import films_of

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
    report(scores)


def mask_of(image: Path, kind: str) -> Mask:
    return np.asarray(Image.open(image.parents[1] / kind / image.name)) > 127


def shown(found: Mask, truth: Mask, hidden: Mask) -> tuple[float, float]:
    """Dice and NSD of what the film shows."""
    seen = ~hidden
    common, both = (found & truth & seen).sum(), (found & seen).sum() + (truth & seen).sum()
    clear = ~binary_dilation(hidden, iterations=TOLERANCE)
    outlines = [boundary(found), boundary(truth)]
    if not all(len(points) for points in outlines):
        return 2 * float(common / both), 0.0
    near = [
        (KDTree(other).query(points)[0] <= TOLERANCE)[clear[tuple(points.T)]]
        for points, other in (outlines, outlines[::-1])
    ]
    counted = np.concatenate(near)
    return 2 * float(common / both), float(counted.mean()) if counted.size else 1.0


def report(scores: dict[str, list[tuple[float, float]]]) -> None:
    """A row a part, limbs and the mean of all parts."""
    print("| part | films | Dice, mean | median | NSD, mean | median |\n|---|---|---|---|---|---|")
    for part in sorted(scores):
        print(row(part, scores[part]))
    limbs = [one for part in ARMS | LEGS for one in scores.get(part, [])]
    print(row("arms and legs", limbs) if limbs else "", end="\n" if limbs else "")
    means = np.mean([np.mean(values, axis=0) for values in scores.values()], axis=0)
    print(f"| mean of parts | | {means[0]:.3f} | | {means[1]:.3f} | |")


def row(name: str, values: Iterable[tuple[float, float]]) -> str:
    table = np.array(list(values))
    mean, median = table.mean(axis=0), np.median(table, axis=0)
    cells = (
        name,
        len(table),
        *(f"{one:.3f}" for pair in zip(mean, median, strict=True) for one in pair),
    )
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main()
