"""Polygons, run lengths and images, shared by several formats, from unvalidated values.

A region is painted within its bounding box, so that the cost of many small ones is that of their
pixels.

Raises ValueError for invalid values, and MaskError (with only the reason, see `types.py`) if the
reason helps the user.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boneseg.errors import MaskError
from boneseg.masks.polygons import fill_window, touched
from boneseg.masks.simplification import Ring
from boneseg.masks.types import Mask, Patch, Region, Shape
from boneseg.radiograph.film import MAX_PIXELS

_FAR = 1e7  # px
NO_SLICE = "does not hold one slice of integer labels; save it as such"


def polygon(label: str, *points: object, kind: str = "a polygon") -> Region:
    """A region inside one or several rings of (x, y), px from the corner of the film."""
    rings = tuple(map(ring, points))
    if not rings:
        raise ValueError("not a polygon")
    return Region(label, partial(filled, rings), kind, rings)


def ring(points: object) -> Ring:
    """(x, y) in pairs, or all numbers in a row, as N x 2."""
    numbers = np.asarray(points)
    if numbers.dtype.kind not in "iufU":  # bool and null are not coordinates
        raise ValueError("coordinates that are not numbers")
    numbers = numbers.astype(np.float64)
    if numbers.ndim == 1:
        numbers = numbers.reshape(-1, 2)
    if numbers.ndim != 2 or numbers.shape[1] != 2 or len(numbers) < 3:
        raise MaskError("holds a polygon of fewer than 3 points; draw it again, or delete it")
    if not (np.abs(numbers) < _FAR).all():  # false for NaN, too
        raise ValueError("points far from any film")
    return numbers


def refuse_fractions(regions: Iterable[Region], unit: tuple[float, float] = (1, 1)) -> None:
    """Refuse polygons that all lie in the film's first unit (width, height): fractions, not pixels.

    The outline of the one pixel in that corner is accepted. Raises MaskError.
    """
    rings = [ring / unit for region in regions for ring in region.rings]
    if not rings:
        return
    points = np.concatenate(rings)
    corner = np.abs(points - 0.5).sum(axis=1)  # 0.5 on the outline that `outlines` finds
    if points.min() >= 0 and points.max() <= 1 and not np.allclose(corner, 0.5):
        raise MaskError(
            "has polygons whose coordinates are all between 0 and 1, fractions of the film; give "
            "them in the unit of the format"
        )


def by_runs(counts: object, shape: Shape, *, by_columns: bool = False) -> Patch:
    """Run lengths, the first outside the mask, row by row or column by column."""
    lengths = np.asarray(counts)
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu":
        raise ValueError("run lengths that are not integers")
    total = shape[0] * shape[1]
    if min(shape) < 1 or total > MAX_PIXELS:
        raise ValueError("more pixels than a film may have, or none")
    if (lengths < 0).any() or (lengths > total).any() or lengths.sum() != total:
        raise ValueError("run lengths that do not fill the picture")
    ends = lengths.astype(np.int64).cumsum()
    ends = ends[: len(ends) // 2 * 2].reshape(-1, 2)  # start and end of each run of the mask
    ends = ends[ends[:, 1] > ends[:, 0]]
    if not len(ends):
        return Patch(np.zeros((0, 0), bool))
    line = shape[0] if by_columns else shape[1]
    first, last = ends[0, 0] // line, (ends[-1, 1] - 1) // line + 1
    edges = np.zeros((last - first) * line + 1, np.uint8)
    np.add.at(edges, ends.ravel() - first * line, 1)  # at most 2, if a run follows directly
    part = np.bitwise_xor.accumulate(edges[:-1] & 1).astype(bool).reshape(last - first, line)
    return Patch(part.T, left=int(first)) if by_columns else Patch(part, top=int(first))


def png(packed: str | bytes, size: Shape) -> Image.Image:
    """A PNG of a known size in base64; the size is checked before it is unpacked."""
    with Image.open(io.BytesIO(base64.b64decode(packed)), formats=("PNG",)) as image:
        if (image.height, image.width) != size:
            raise ValueError("a picture of another size")
        image.load()
        return image


def coloured(image: Image.Image) -> Mask:
    """The pixels that are neither black nor transparent, however faint: bool, H x W."""
    if len(image.getbands()) == 1 and image.mode != "P":
        return np.asarray(np.asarray(image) != 0)
    samples = np.asarray(image.convert("RGBA"))
    seen: Mask = samples[..., :3].any(axis=2) & (samples[..., 3] > 0)
    return seen


def placed(patch: Patch, left: int, top: int, shape: Shape) -> Patch:
    """A patch moved by (left, top), without its empty margin.

    Raises MaskError if bone is outside the film.
    """
    visited = patch.part.size
    rows, columns = (np.flatnonzero(patch.part.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return Patch(np.zeros((0, 0), bool), visited=visited)
    part = patch.part[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    top, left = patch.top + top + int(rows[0]), patch.left + left + int(columns[0])
    if min(top, left) < 0 or top + part.shape[0] > shape[0] or left + part.shape[1] > shape[1]:
        raise MaskError("extends beyond its film; check that it belongs to this film")
    return Patch(part, top, left, visited)


def equal(data: NDArray[np.generic], value: int, left: int, top: int, shape: Shape) -> Patch:
    """The pixels of height x width labels that have a value, moved by (left, top)."""
    return placed(Patch(np.asarray(data == value)), left, top, shape)


def whole(data: NDArray[np.generic]) -> NDArray[np.generic]:
    """Labels of any type as integers. Raises MaskError if they are not."""
    if data.dtype.kind == "b":
        return data.astype(np.uint8)
    if data.dtype.kind == "f" and data.size and np.isfinite(data).all():
        # beyond 2^53, float64 does not represent every integer
        if np.abs(data).max() < 2**53 and (data == np.rint(data)).all():
            return data.astype(np.int64 if data.dtype.itemsize > 4 else np.int32)
        raise MaskError(NO_SLICE)
    if data.dtype.kind not in "iu":
        raise MaskError(NO_SLICE)
    return data


def labels_in(data: NDArray[np.generic]) -> list[int]:
    """The values of integer labels except 0. Raises MaskError for negative ones, or too many."""
    low, high = (int(data.min()), int(data.max())) if data.size else (0, 0)
    if low < 0:
        raise MaskError("holds negative values, which are not labels; is it a mask?")
    if high <= 65535:  # np.unique sorts: slow
        seen = np.zeros(high + 1, bool)
        seen[data.ravel()] = True
        found = np.flatnonzero(seen)
    else:
        found = np.unique(data)
    found = found[found > 0]
    if len(found) > 255:
        raise MaskError(f"holds {len(found)} values, too many for labels; is it a mask?")
    return [int(value) for value in found]


def filled(rings: Sequence[Ring], shape: Shape) -> Patch:
    """The pixels inside any of the rings; each covers at least one."""
    patches = [_inside(one, shape) for one in rings]
    if len(patches) == 1:
        return patches[0]
    top, left = min(one.top for one in patches), min(one.left for one in patches)
    bottom = max(one.top + one.part.shape[0] for one in patches)
    right = max(one.left + one.part.shape[1] for one in patches)
    joined = np.zeros((bottom - top, right - left), bool)
    for one in patches:
        height, width = one.part.shape
        joined[one.top - top : one.top - top + height, one.left - left :][:, :width] |= one.part
    return Patch(joined, top, left)


def _inside(one: Ring, shape: Shape) -> Patch:
    """The pixels inside a ring; if it contains no pixel centre, those that it crosses."""
    first = np.ceil(one.min(axis=0) - 0.5).astype(np.int64)
    last = np.ceil(one.max(axis=0) - 0.5).astype(np.int64)
    left, right = (int(min(max(side, 0), shape[1])) for side in (first[0], last[0]))
    top, bottom = (int(min(max(side, 0), shape[0])) for side in (first[1], last[1]))
    if right > left and bottom > top:
        part = fill_window([one], (top, bottom), (left, right))
        if part.any():
            return Patch(part, top, left)
    pixels = touched(one, shape)
    if not len(pixels):
        raise MaskError("is outside its film; check the unit of its coordinates")
    (top, left), (bottom, right) = pixels.min(axis=0), pixels.max(axis=0) + 1
    part = np.zeros((bottom - top, right - left), bool)
    part[pixels[:, 0] - top, pixels[:, 1] - left] = True
    return Patch(part, int(top), int(left))
