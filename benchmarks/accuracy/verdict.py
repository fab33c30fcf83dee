"""The verdict on real films: body part, projection, and whether trust finds the bad masks.

    python -m benchmarks.accuracy.verdict --data ../shared/data [--model BUNDLE ...]

What a mask is worth is measured by cells of a grid that a reader is sure are all bone, or none
(`probes.json`): balanced = (share of bone found + share of the rest left out) / 2. Body part and
projection are counted on the films below and on every SAMPLE-th film of the labelled sets; films
that show several parts count as right with either, and projections only where they are clear.
Nothing of it was used for training or for thresholds. The result is in
benchmarks/results/verdict.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from boneseg.inference.engine import Engine
from boneseg.masks.verdict import Verdict
from boneseg.radiograph.read import read_radiograph

SHOWN = {  # film: parts, projection
    "cephalogram": ("skull", "lateral"),
    "chest": ("chest", "frontal"),
    "hand": ("hand", "frontal"),
    "knee": ("knee", "frontal"),
    "pelvis": ("pelvis", "frontal"),
    "skull": ("skull", "frontal"),
    "upper_limb_01": ("shoulder or upper arm", "frontal"),
    "upper_limb_02": ("forearm or elbow", None),
    "upper_limb_04": ("forearm", "frontal"),
    "upper_limb_08": ("shoulder", "frontal"),
    "whole_body": ("whole body or trunk", "frontal"),
    "hip": ("hip", None),
    "infant_pelvis": ("pelvis or hip", "frontal"),
    "lowerleg": ("lower leg or ankle", None),
}
SETS = {  # labelled set: parts, projection
    "legs": ("full leg", "frontal"),
    "spine": ("lumbar spine or trunk", "frontal"),
    "knee-femur": ("knee", "frontal"),
    "knee-tibia": ("knee", "frontal"),
}
SAMPLE = {"legs": 12, "spine": 2, "knee-femur": 4, "knee-tibia": 4}
LOW, HIGH = 0.9, 0.97  # balanced scores: below a film should be flagged, above it should not


@dataclass(frozen=True)
class Row:
    """A film, what it shows, the verdict on it, and the balanced score of its mask."""

    film: str
    parts: str
    projection: str | None
    verdict: Verdict
    balanced: float | None

    @property
    def part_is_right(self) -> bool:
        return self.verdict.part in self.parts.split(" or ")

    @property
    def projection_is_right(self) -> bool:
        return self.verdict.projection == self.projection


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument(
        "--model", type=Path, nargs="*", default=[], help="further bundles that find every bone"
    )
    asked = words.parse_args()
    rows = list(measured(Engine(), asked.data, sets=True))
    print(table(rows))
    print("\n" + summary(rows))
    everything = rows
    for model in asked.model:
        engine = Engine(model, every_bone=True)
        more = list(measured(engine, asked.data, sets=False))
        everything = everything + more
        print(f"\n{model.name}: {flags(more)}")
    if asked.model:
        print(f"\nall models: {flags(everything)}")


def measured(engine: Engine, data: Path, *, sets: bool) -> Iterator[Row]:
    """A row of each film; `sets`: of films of the labelled sets, too."""
    probes = json.loads((data / "probes.json").read_text())
    cells = {film["name"]: film for film in probes["films"]}
    for path in sorted([*(data / "unlabelled").iterdir(), *(data / "dicom").iterdir()]):
        name = path.relative_to(data).as_posix()
        key = max((k for k in SHOWN if path.stem.startswith(k)), key=len)
        if sets or name in cells:
            yield row(engine, path, name, SHOWN[key], cells.get(name), probes["cells"])
    for folder, shown in SETS.items():
        for number, path in enumerate(sorted((data / folder / "images").iterdir())):
            name = path.relative_to(data).as_posix()
            if name in cells or (sets and number % SAMPLE[folder] == 0):
                yield row(engine, path, name, shown, cells.get(name), probes["cells"])


def row(
    engine: Engine,
    path: Path,
    name: str,
    shown: tuple[str, str | None],
    film: dict[str, list[list[int]]] | None,
    cells: int,
) -> Row:
    finding = engine.find(read_radiograph(path))
    balanced = None if film is None else score(finding.mask, film, cells)
    return Row(name, *shown, finding.verdict, balanced)


def score(mask: np.ndarray, film: dict[str, list[list[int]]], cells: int) -> float:
    """The balanced score of a mask, as `probes.py` of the data computes it."""
    side = max(mask.shape) / cells
    parts = []
    for kind in ("bone", "other"):
        shares = [
            mask[round(r * side) : round((r + 1) * side), round(c * side) : round((c + 1) * side)]
            for r, c in film[kind]
        ]
        if shares:
            share = float(np.mean([one.mean() for one in shares]))
            parts.append(share if kind == "bone" else 1 - share)
    return float(np.mean(parts))


def table(rows: list[Row]) -> str:
    lines = [
        "| film | shows | part found | projection | balanced | trust | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in sorted((r for r in rows if r.balanced is not None), key=lambda r: r.verdict.trust):
        part = one.verdict.part if one.part_is_right else f"**{one.verdict.part}**"
        view = f"{one.verdict.projection}"
        if one.projection is not None and not one.projection_is_right:
            view = f"**{view}**"
        lines.append(
            f"| {one.film} | {one.parts} | {part} {one.verdict.part_confidence:.2f} | {view} "
            f"| {one.balanced:.3f} | {one.verdict.trust:.3f} | {one.verdict.verdict} |"
        )
    return "\n".join(lines)


def summary(rows: list[Row]) -> str:
    clear = [one for one in rows if one.projection is not None]
    parts = sum(one.part_is_right for one in rows)
    views = sum(one.projection_is_right for one in clear)
    kinds = {folder: [r for r in rows if r.film.startswith(folder + "/")] for folder in SETS}
    kinds["other films"] = [r for r in rows if r.film.split("/")[0] not in SETS]
    by_kind = ", ".join(
        f"{kind} {sum(r.part_is_right for r in some)} of {len(some)}"
        for kind, some in kinds.items()
        if some
    )
    return "\n".join(
        (
            f"part right: {parts} of {len(rows)} ({parts / len(rows):.1%}): {by_kind}",
            f"projection right: {views} of {len(clear)} ({views / len(clear):.1%})",
            flags(rows),
        )
    )


def flags(rows: list[Row]) -> str:
    """How trust ranks the films with probes, and which it flags."""
    known = [one for one in rows if one.balanced is not None]
    rank = spearmanr([one.balanced for one in known], [one.verdict.trust for one in known])
    words = []
    for name, some in (
        (f"below {LOW}", [one for one in known if (one.balanced or 0) < LOW]),
        (f"above {HIGH}", [one for one in known if (one.balanced or 0) > HIGH]),
    ):
        flagged = sum(one.verdict.verdict != "good" for one in some)
        words.append(f"{flagged} of {len(some)} {name} flagged")
    return (
        f"{len(known)} masks, rank correlation of trust with the balanced score "
        f"{rank.statistic:.2f}; {', '.join(words)}"
    )


if __name__ == "__main__":
    main()
