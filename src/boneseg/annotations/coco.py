"""COCO: one JSON for many films (https://cocodataset.org/#format-data).

A segmentation is a list of polygons, which are joined, or run lengths column by column, as numbers
or packed into text. One with a box alone does not follow a bone.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from boneseg.annotations import Drawing, Drawn, Mask, Region, Shape
from boneseg.annotations.regions import by_runs, ring
from boneseg.errors import MaskError
from boneseg.polygons import Ring, fill


def claims(document: Any) -> bool:
    """Whether a JSON document is of this kind."""
    return isinstance(document, dict) and {"images", "annotations"} <= document.keys()


def drawings(path: Path, document: Any) -> list[Drawing]:
    """A drawing for each film that is listed."""
    labels = {kind["id"]: str(kind["name"]) for kind in document.get("categories", ())}
    sizes = {film["id"]: (int(film["height"]), int(film["width"])) for film in document["images"]}
    regions: dict[Any, list[Region]] = defaultdict(list)
    for annotation in document["annotations"]:
        number = annotation["image_id"]
        if number not in sizes:
            raise MaskError(f"{path}: draws on image {number}, which it does not list; mend it")
        label = labels.get(annotation["category_id"], str(annotation["category_id"]))
        regions[number].append(_region(label, annotation.get("segmentation"), sizes[number]))
    return [_drawing(film, regions[film["id"]], sizes[film["id"]]) for film in document["images"]]


def _drawing(film: dict[str, Any], regions: list[Region], size: Shape) -> Drawing:
    drawn = Drawn(tuple(regions), size)
    return Drawing(lambda: drawn, name=str(film["file_name"]))


def _region(label: str, segmentation: Any, size: Shape) -> Region:
    if not segmentation:
        return Region(label, None, "a box")
    if isinstance(segmentation, list):
        return Region(label, partial(_joined, [ring(part) for part in segmentation]), "polygons")
    counts = segmentation["counts"]
    numbers = unpacked(counts) if isinstance(counts, str | bytes) else counts
    if tuple(segmentation["size"]) != size:
        raise ValueError("run lengths of another size than the film")
    return Region(label, partial(_painted, numbers), "run lengths")


def _joined(rings: list[Ring], shape: Shape) -> Mask:
    joined: Mask = np.logical_or.reduce([fill([one], shape) for one in rings])
    return joined


def _painted(counts: list[int], shape: Shape) -> Mask:
    return by_runs(counts, shape, by_columns=True)


def unpacked(text: str | bytes) -> list[int]:
    """Run lengths packed as COCO's maskApi.c does: 5 bits a letter, from "0", the lowest first.

    Bit 5 says that there is more, bit 4 of the last letter is the sign; from the fourth number on,
    differences to the last but one are kept.
    """
    data = text.encode("ascii") if isinstance(text, str) else text
    counts: list[int] = []
    number = shift = 0
    for letter in data:
        bits = letter - 48
        if not 0 <= bits < 64:
            raise ValueError("run lengths that are not packed as COCO does")
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
        number = shift = 0
    if shift:
        raise ValueError("run lengths that are cut short")
    return counts
