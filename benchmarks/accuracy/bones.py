"""Bones that the bundled model names on real films against drawn masks.

    python -m benchmarks.accuracy.bones --data ../shared/data

Each labelled set shows some bones of each film, and only these are scored. The masks of full legs
are of femur and tibia together: as one, and each where the two do not touch. Nothing says which
films are of one patient, so the intervals are over films.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle
from boneseg.dataset.load import read_films
from boneseg.dataset.open import open_dataset
from boneseg.evaluation.statistics import bootstrap_ci95
from boneseg.inference.engine import Engine

Mask = NDArray[np.bool_]
Bones = Mapping[str, Mask]

GOAL = 0.93  # of recall and of precision
SETS = {"legs": ("femur", "tibia"), "knee-femur": ("femur",), "knee-tibia": ("tibia",)}
PIECE = 0.05  # share of a mask from which a piece is a bone


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--model", type=Path, default=None, help="another bundle")
    words.add_argument("--every", type=int, default=1, help="score every n-th film only")
    words.add_argument("--out", type=Path, default=None, help="JSON file to write")
    asked = words.parse_args()
    engine = Engine(load_bundle(asked.model or bundled()))
    engine.check_names()
    rows = list(scored(engine, asked.data, asked.every))
    if asked.out:
        asked.out.write_text(json.dumps(rows, indent=2) + "\n")


def scored(engine: Engine, data: Path, every: int) -> Iterator[dict[str, object]]:
    """A row of the table for each bone of each set."""
    print("| set | bone | films | recall (95 %) | precision (95 %) | lowest of each | goal |")
    print("|---|---|---|---|---|---|---|")
    for name, bones in SETS.items():
        scores: dict[str, list[tuple[float, float]]] = {}
        for film in read_films(open_dataset(data / name).cases[::every]):
            found = engine.find(film.radiograph).bones
            for bone, truth in drawn(film.mask, bones).items():
                mask = union(found, bone.split(" and "), truth.shape)
                scores.setdefault(bone, []).append(recall_and_precision(mask, truth))
        for bone, values in scores.items():
            yield row(name, bone, np.array(values))


def row(name: str, bone: str, values: NDArray[np.float64]) -> dict[str, object]:
    """Print a row, and return it; values: films x (recall, precision)."""
    means, lowest = values.mean(axis=0), values.min(axis=0)
    ci95 = [bootstrap_ci95(one) for one in values.T]
    cells = [
        f"{mean:.4f} ({low:.4f} to {high:.4f})"
        for mean, (low, high) in zip(means, ci95, strict=True)
    ]
    print(
        f"| {name} | {bone} | {len(values)} | {cells[0]} | {cells[1]} "
        f"| {lowest[0]:.3f}, {lowest[1]:.3f} | {GOAL}{'' if means.min() >= GOAL else ', missed'} |",
        flush=True,
    )
    return {
        "set": name,
        "bone": bone,
        "films": len(values),
        "recall": float(means[0]),
        "precision": float(means[1]),
        "ci95": ci95,
    }


def drawn(mask: Mask, bones: tuple[str, ...]) -> dict[str, Mask]:
    """The bones of a drawn mask, from top to bottom, where it has a piece for each; and together.

    >>> sorted(drawn(np.eye(2, dtype=bool), ("femur", "tibia")))  # one piece
    ['femur and tibia']
    """
    together = {" and ".join(bones): mask}
    pieces, count = label(mask, np.ones((3, 3)))
    own = [pieces == number for number in range(1, count + 1)]
    own = [piece for piece in own if piece.sum() > PIECE * mask.sum()]
    if len(bones) == 1 or len(own) != len(bones):
        return together
    own.sort(key=lambda piece: int(np.flatnonzero(piece.any(axis=1))[0]))
    return together | dict(zip(bones, own, strict=True))


def union(found: Bones, names: list[str], shape: tuple[int, ...]) -> Mask:
    masks = [found[name] for name in names if name in found]
    return np.any([np.zeros(shape, bool), *masks], axis=0)


def recall_and_precision(found: Mask, truth: Mask) -> tuple[float, float]:
    """Both are 0 where nothing is found."""
    common = int((found & truth).sum())
    return common / int(truth.sum()), common / max(1, int(found.sum()))


if __name__ == "__main__":
    main()
