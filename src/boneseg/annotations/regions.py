"""What the formats have in common: polygons, run lengths and pictures that nobody has checked.

All raise ValueError for what cannot be what it should be.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boneseg.annotations import Mask, Region, Shape
from boneseg.polygons import Ring, fill
from boneseg.radiograph import MAX_PIXELS

_FAR = 1e7  # px


def polygon(label: str, points: Any) -> Region:
    """A region inside a ring of (x, y), px from the corner of the film."""
    return Region(label, partial(fill, [ring(points)]), "a polygon")


def ring(points: Any) -> Ring:
    """(x, y) in pairs, or all numbers in a row, as N x 2."""
    numbers = np.asarray(points, np.float64)
    if numbers.ndim == 1:
        numbers = numbers.reshape(-1, 2)
    if numbers.ndim != 2 or numbers.shape[1] != 2 or len(numbers) < 3:
        raise ValueError("no polygon")
    if not (np.abs(numbers) < _FAR).all():  # nor is what is no number
        raise ValueError("points that are nowhere near a film")
    return numbers


def by_runs(counts: Sequence[int], shape: Shape, *, by_columns: bool = False) -> Mask:
    """Run lengths, the first outside the mask, row by row or column by column."""
    lengths = np.asarray(counts, np.int64)
    if shape[0] * shape[1] > MAX_PIXELS:
        raise ValueError("more pixels than a film may have")
    if lengths.ndim != 1 or (lengths < 0).any() or lengths.sum() != shape[0] * shape[1]:
        raise ValueError("run lengths that do not fill the picture")
    values = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return np.ascontiguousarray(values.reshape(shape, order="F" if by_columns else "C"))


def png(packed: str) -> Image.Image:
    """A PNG in base64."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(packed)), formats=("PNG",)) as image:
            image.load()
            return image
    except Exception:  # a damaged picture makes the decoder raise nearly anything
        raise ValueError("no PNG") from None


def placed(part: NDArray[np.bool_], left: int, top: int) -> Any:
    """A painter that lays a part on the film; what lies outside of it is cut off."""
    return partial(_place, part, left, top)


def _place(part: NDArray[np.bool_], left: int, top: int, shape: Shape) -> Mask:
    whole = np.zeros(shape, bool)
    rows = slice(max(top, 0), max(top + part.shape[0], 0))
    columns = slice(max(left, 0), max(left + part.shape[1], 0))
    target = whole[rows, columns]
    target[...] = part[
        rows.start - top : rows.start - top + target.shape[0],
        columns.start - left : columns.start - left + target.shape[1],
    ]
    return whole
