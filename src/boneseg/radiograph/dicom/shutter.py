"""The part of a film left open by its display shutter (DICOM PS3.3 C.7.6.11)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Mask = NDArray[np.bool_]
Numbers = Callable[[str], Sequence[float]]

_FAR = 1e6  # px; limit of plausible vertices


def open_part(
    shapes: Sequence[str], numbers: Numbers, size: tuple[int, int], aspect: float
) -> Mask | None:
    """bool, height x width: True where the film is visible; None if no shape is described.

    `shapes` are the values of Shutter Shape, and `numbers` returns the values of an element by
    its keyword. Multiple shapes are intersected. Rows and columns are counted from 1, and edges
    belong to the open part. `aspect` is the height of a pixel divided by its width: the radius of
    a circle is in pixel widths.
    """
    drawn = []
    if "RECTANGULAR" in shapes:
        drawn.append(_rectangle(numbers, size))
    if "CIRCULAR" in shapes:
        drawn.append(_circle(numbers, size, aspect))
    if "POLYGONAL" in shapes:
        drawn.append(_polygon(numbers, size))
    known = [shape for shape in drawn if shape is not None]
    return np.logical_and.reduce(known) if known else None


def _rectangle(numbers: Numbers, size: tuple[int, int]) -> Mask | None:
    names = ("UpperHorizontal", "LowerHorizontal", "LeftVertical", "RightVertical")
    edges = [int(value) for name in names for value in numbers(f"Shutter{name}Edge")[:1]]
    if len(edges) != 4:
        return None
    top, bottom, left, right = (max(0, edge) for edge in edges)
    shape = np.zeros(size, np.bool_)
    shape[max(0, top - 1) : bottom, max(0, left - 1) : right] = True
    return shape


def _circle(numbers: Numbers, size: tuple[int, int], aspect: float) -> Mask | None:
    center, radius = numbers("CenterOfCircularShutter"), numbers("RadiusOfCircularShutter")
    if len(center) != 2 or len(radius) != 1:
        return None
    rows, columns = np.ogrid[1 : size[0] + 1, 1 : size[1] + 1]
    left = radius[0] ** 2 - ((rows - center[0]) * aspect) ** 2  # rest of the squared radius, by row
    inside: Mask = (columns - center[1]) ** 2 <= left
    return inside


def _polygon(numbers: Numbers, size: tuple[int, int]) -> Mask | None:
    values = numbers("VerticesOfThePolygonalShutter")
    if len(values) < 6 or len(values) % 2 or max(map(abs, values)) > _FAR:
        return None
    corners = [(c - 1, r - 1) for r, c in zip(values[::2], values[1::2], strict=True)]
    canvas = Image.new("1", (size[1], size[0]))
    ImageDraw.Draw(canvas).polygon(corners, fill=1)
    return np.asarray(canvas, np.bool_)
