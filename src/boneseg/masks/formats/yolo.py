"""YOLO segmentation: a text file for each film (https://docs.ultralytics.com/datasets/segment/).

A line is the number of a class, 0 for bone, which is its label, and a polygon in fractions of the
film's width and height.

Written: a line for each bone, an empty file for none. Holes are joined by cuts, as in `labelme.py`.

Read: a line with four numbers is a box, which does not follow the outline of a bone. Lines that
also have a confidence or a track number, as predictions may have, are refused.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from boneseg._util.files import read_bytes, whole_file
from boneseg.errors import MaskError
from boneseg.masks.polygons import keyhole, outlines
from boneseg.masks.regions import filled, ring
from boneseg.masks.segmentation import Segmentation
from boneseg.masks.simplification import Ring
from boneseg.masks.types import STRAY, Drawing, Drawn, Patch, Region, Shape


def write(path: Path, segmentation: Segmentation) -> None:
    """Write the polygons. Raises OutputError."""
    height, width = segmentation.mask.shape
    lines = []
    for piece in outlines(segmentation.mask, segmentation.tolerance):
        parts = keyhole(piece) / (width, height)
        lines.append(" ".join(["0", *(f"{part:.8f}" for part in parts.ravel())]))
    with whole_file(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def drawings(path: Path) -> list[Drawing]:
    """The one film of the file, which is read on demand."""
    return [Drawing(partial(_read, path))]


def holds_numbers(path: Path) -> bool:
    """Whether a text file looks like YOLO: in a line, the second word and a neighbour are numbers.

    Other text files, such as a README, may be among the masks.
    """
    try:
        lines = _lines(path)
    except (OSError, ValueError):
        return False
    marks = [[_is_number(word) for word in line[:3]] for line in lines if len(line) > 2]
    return any(second and (first or third) for first, second, third in marks)


def _is_number(word: str) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False


def _lines(path: Path) -> list[list[str]]:
    text = read_bytes(path).decode("utf-8-sig")  # Windows may write a byte order mark
    return [line.split() for line in text.splitlines() if line.strip()]


def _read(path: Path, shape: Shape | None) -> Drawn:
    try:
        return Drawn(tuple(_region(line, shape) for line in _lines(path)))
    except ValueError:
        raise MaskError("holds no valid YOLO polygons; export it again") from None


def _region(words: list[str], shape: Shape | None) -> Region:
    number = float(words[0])
    if number != int(number):
        raise ValueError("a class that is not an integer")
    label, places = str(int(number)), [float(word) for word in words[1:]]
    if len(places) in (4, 5):
        return Region(label, None, "a box")
    if len(places) % 2:
        raise MaskError(
            "has a line with an odd number of coordinates; remove the confidence, or export it "
            "again"
        )
    parts = ring(places)
    if parts.min() < -STRAY or parts.max() > 1 + STRAY:
        raise MaskError(
            "has coordinates outside 0 to 1; give them as fractions of width and height, "
            "without confidence and track number"
        )
    if words[-1].isdecimal() and _is_apart(parts):
        raise MaskError(
            "has a line whose last two numbers may be a confidence and a track number; leave them "
            "out"
        )
    rings = (_scaled(parts, shape),) if shape else ()
    return Region(label, partial(_filled, parts), "a polygon", rings)


def _is_apart(parts: Ring) -> bool:
    """Whether both sides at the last point are longer than all others.

    This is the case where it is a confidence and a track number, 0 or 1.
    """
    sides = np.hypot(*(np.roll(parts, -1, axis=0) - parts).T)
    return bool(sides[-2:].min() > sides[:-2].max())


def _scaled(parts: Ring, shape: Shape) -> Ring:
    return parts * (shape[1], shape[0])


def _filled(parts: Ring, shape: Shape) -> Patch:
    return filled([_scaled(parts, shape)], shape)
