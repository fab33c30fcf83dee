"""YOLO segmentation: a text file for each film (https://docs.ultralytics.com/datasets/segment/).

A line is the number of a class, which is its label, and a polygon in parts of the film's width and
height. A line with four numbers is a box, which does not follow a bone.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

from boneseg.annotations import Drawing, Drawn, Mask, Region, Shape
from boneseg.annotations.regions import ring
from boneseg.errors import MaskError
from boneseg.polygons import Ring, fill


def drawings(path: Path, document: object) -> list[Drawing]:
    """The one film that the file is about; it is read when it is asked for."""
    return [Drawing(partial(_read, path))]


def holds_polygons(path: Path) -> bool:
    """Whether a text file is of this kind, and not empty; any text may lie among masks."""
    with suppress(MaskError):
        return bool(_read(path).regions)
    return False


def _read(path: Path) -> Drawn:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return Drawn(tuple(_region(line.split()) for line in lines if line.strip()))
    except (OSError, ValueError):
        raise MaskError(f"{path}: holds no polygons as YOLO writes them; export it again") from None


def _region(words: list[str]) -> Region:
    label, places = str(int(words[0])), [float(word) for word in words[1:]]
    if len(places) == 4:
        return Region(label, None, "a box")
    return Region(label, partial(_scaled, ring(places)), "a polygon")


def _scaled(parts: Ring, shape: Shape) -> Mask:
    return fill([parts * (shape[1], shape[0])], shape)
