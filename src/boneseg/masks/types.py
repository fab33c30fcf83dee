"""The content of an annotation file: labelled regions of films, painted when needed.

Readers of formats make these from unvalidated files; `annotations.py` merges them into masks. An
error raised in a reader gives only the reason; `annotations.py` prepends the file and the film.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boneseg.errors import MaskError
from boneseg.radiograph.film import MAX_PIXELS

Mask = NDArray[np.bool_]
Shape = tuple[int, int]  # height, width

STRAY = 0.05  # fraction of a film by which a drawing may cross its edge; the excess is clipped
LARGEST = 2**29  # bytes of a document of annotations, which may hold every film of a dataset
MAX_BYTES = 4 * MAX_PIXELS  # of the unpacked pixels of a mask
MAX_PAINTED = 40 * MAX_PIXELS  # px visited for all regions of a film


class UnknownAnnotationError(MaskError):
    """A file that can be decoded, but holds no annotations of a known kind."""


class MaskSizeError(MaskError):
    """A mask whose size is not that of its film; both are (height, width)."""

    def __init__(self, where: Path | str, size: Shape, film: Shape) -> None:
        self.size, self.film = size, film
        super().__init__(
            f"{where}: mask is {size[0]} x {size[1]} pixels but its film is {film[0]} x {film[1]} "
            "(height x width); draw it on the film's own grid"
        )


class OtherSizeError(ValueError):
    """Raised in readers: the mask has this size (height, width), which is not that of the film."""

    def __init__(self, size: Shape) -> None:
        self.size = size
        super().__init__(f"{size[0]} x {size[1]}")


@dataclass(frozen=True)
class Patch:
    """A painted part of a film: bool, and the row and column of its first pixel.

    visited: px examined for it, if those are more.
    """

    part: Mask
    top: int = 0
    left: int = 0
    visited: int = 0


@dataclass(frozen=True)
class Region:
    """The region of one label: `paint` renders it on a film of (height, width).

    label: without surrounding blanks; "unlabelled" if the file gives none.
    `paint` is None for a shape that does not follow the outline of a bone; `kind` names the shape.
    rings: the outlines of polygons in px, N x 2 (x, y) each.
    """

    label: str
    paint: Callable[[Shape], Patch] | None
    kind: str = "a region"
    rings: tuple[NDArray[np.float64], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", self.label.strip() or "unlabelled")


@dataclass(frozen=True)
class Drawn:
    """The regions of one film in the order of drawing, and the size of their grid."""

    regions: tuple[Region, ...]
    size: Shape | None = None  # None if the file does not give it


@dataclass(frozen=True)
class Drawing:
    """One film of an annotation file, and how to read it.

    read: takes the film's (height, width), or None if unknown. Raises MaskError.
    name: of the film in the file; None if the file itself is named after the film.
    uid: of the DICOM instance that it references, if any.
    error: why an entry of the file cannot be assigned to a film.
    """

    read: Callable[[Shape | None], Drawn]
    name: str | None = None
    uid: str | None = None
    error: str = ""

    def is_of(self, film: str | None) -> bool:
        """Whether it is drawn on this film, by its name or UID; None stands for any film."""
        return film is None or film in (self.name, self.uid)


def fits(size: Shape, shape: Shape | None) -> Shape:
    """`size`, (height, width) from a header, which must be that of the film (`shape`).

    Raises OtherSizeError, and MaskError for more pixels than a film may have.
    """
    if shape is not None and size != shape:
        raise OtherSizeError(size)
    if min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
        raise MaskError(
            f"has an invalid size of {size[0]} x {size[1]} pixels (height x width); export it again"
        )
    return size


def affordable(count: int, itemsize: int) -> None:
    """Refuse to unpack too much: `count` values of `itemsize` bytes. Raises MaskError."""
    if count * itemsize > MAX_BYTES:
        raise MaskError(
            f"unpacks to more than the {MAX_BYTES // 10**6} MB that a mask may take; save it as "
            "8-bit integers"
        )
