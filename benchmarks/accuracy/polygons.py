"""Drawn masks as polygons and back: the table of `docs/reference/formats.md`.

    python -m benchmarks.accuracy.polygons --data ../shared/data

Holes are cuts, as in LabelMe, YOLO and COCO; the points of all polygons of a film are counted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from boneseg.dataset.open import open_dataset
from boneseg.masks.polygons import TOLERANCE, fill, keyhole, outlines
from boneseg.masks.read import read_mask

SETS = {"legs": 4, "spine": 1, "knee-femur": 1}  # take each so-manieth film
TOLERANCES = (0.0, TOLERANCE, 1.0)  # px


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    print("| masks | tolerance | points per film | unchanged, mean | worst | Dice, worst |")
    print("|---|---|---|---|---|---|")
    for name, every in SETS.items():
        masks = [read_mask(case.mask) for case in open_dataset(data / name).cases[::every]]
        for tolerance in TOLERANCES:
            points, unchanged, dice = [], [], []
            for mask in masks:
                rings = [keyhole(outline) for outline in outlines(mask, tolerance)]
                found = fill(rings, mask.shape)
                points.append(sum(map(len, rings)))
                unchanged.append(100 * np.mean(found == mask))
                dice.append(2 * (found & mask).sum() / (found.sum() + mask.sum()))
            print(
                f"| {name}, {len(masks)} films | {tolerance:g} | {np.mean(points):.0f} points "
                f"| {np.mean(unchanged):.3f} % | {min(unchanged):.3f} % | Dice {min(dice):.4f} |"
            )


if __name__ == "__main__":
    main()
