"""What a file of annotations holds of a film: labelled regions, painted when they are needed.

Readers of formats make these from unchecked files; `annotations.py` merges them into masks. An
error raised in a reader gives only the reason; `annotations.py` puts the file and the film before
it.
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

STRAY = 0.05  # fraction of a film by which a drawing may cross its edge; the excess is cut off
MAX_BYTES = 4 * MAX_PIXELS  # of the unpacked pixels of a mask
MAX_PAINTED = 40 * MAX_PIXELS  # px visited for all regions of a film


class UnknownAnnotationError(MaskError):
    """A file that can be decoded, but holds no annotations of a known kind."""


class MaskSizeError(MaskError):
    """A mask on another grid than its film's; both are (height, width)."""

    def __init__(self, where: Path | str, size: Shape, film: Shape) -> None:
        self.size, self.film = size, film
        super().__init__(
            f"{where}: mask is {size[0]} x {size[1]} pixels but its film is {film[0]} x {film[1]} "
            "(height x width); draw it on the film's own grid"
        )


class OtherSizeError(ValueError):
    """Raised in readers: the mask has this size (height, width), and the film another."""

    def __init__(self, size: Shape) -> None:
        self.size = size
        super().__init__(f"{size[0]} x {size[1]}")


@dataclass(frozen=True)
class Patch:
    """A painted part of a film: bool, and the row and column of its first pixel.

    visited: px that were looked at for it, where those are more.
    """

    part: Mask
    top: int = 0
    left: int = 0
    visited: int = 0


@dataclass(frozen=True)
class Region:
    """What is drawn under one label: `paint` gives it on a film of (height, width).

    label: without blanks around it; "unlabelled" where the file gives none.
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
    """The regions of one film in the order of drawing, and the grid that they were drawn on."""

    regions: tuple[Region, ...]
    size: Shape | None = None  # None where the file does not say


@dataclass(frozen=True)
class Drawing:
    """What a file holds of one film, and how to read it.

    read: takes the film's (height, width), or None where it is not known. Raises MaskError.
    name: what the file calls the film; None where it goes by the name of the file itself.
    uid: of the DICOM instance that it refers to, where it does.
    error: why an entry of the file belongs to no film that could be told.
    """

    read: Callable[[Shape | None], Drawn]
    name: str | None = None
    uid: str | None = None
    error: str = ""

    def is_of(self, film: str | None) -> bool:
        """Whether it is drawn on this film, by its name or UID; None stands for any film."""
        return film is None or film in (self.name, self.uid)


def fits(size: Shape, shape: Shape | None) -> Shape:
    """`size`, (height, width) as a header says, which has to be that of the film (`shape`).

    Raises OtherSizeError, and MaskError for more pixels than a film may have.
    """
    if shape is not None and size != shape:
        raise OtherSizeError(size)
    if min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
        raise MaskError(
            f"is said to have {size[0]} x {size[1]} pixels (height x width), which no film has; "
            "export it again"
        )
    return size


def affordable(count: int, itemsize: int) -> None:
    """Refuse to unpack so many values of so many bytes. Raises MaskError."""
    if count * itemsize > MAX_BYTES:
        raise MaskError(
            f"unpacks to more than the {MAX_BYTES // 10**6} MB that a mask may take; save it as "
            "8-bit integers"
        )
