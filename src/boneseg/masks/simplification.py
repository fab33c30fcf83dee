"""Fewer points on closed rings (Douglas and Peucker, 1973), on many rings at once.

    for ring in simplified(rings, tolerance=0.35):
        ...                                   # float64, N x 2, in the order of those given

The segments of all rings are split together, level by level, so that the cost depends on the number
of points, not of rings. Points on a straight line are removed first, and every `_ANCHOR`th of the
others is kept, which bounds the number of levels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.float64]  # N x 2, (x, y); the last point is joined to the first
_Ints = NDArray[np.int64]

_ANCHOR = 4096
_AT_ONCE = 1 << 20  # points simplified together: some 200 MB


def simplified(rings: Sequence[Ring], tolerance: float) -> list[Ring]:
    """The rings without the points within `tolerance` px of the line through the others.

    A ring of 4 points or fewer is unchanged, and no other gets fewer than 3.
    """
    found = list(rings)
    if tolerance > 0:
        for batch in _batches(found):
            for index, ring in zip(
                batch, _together([found[i] for i in batch], tolerance), strict=True
            ):
                found[index] = ring
    return found


def _batches(rings: Sequence[Ring]) -> Iterator[list[int]]:
    batch: list[int] = []
    points = 0
    for index, ring in enumerate(rings):
        if len(ring) > 4:
            batch.append(index)
            points += len(ring)
        if points >= _AT_ONCE:
            yield batch
            batch, points = [], 0
    if batch:
        yield batch


def _together(rings: Sequence[Ring], tolerance: float) -> list[Ring]:
    points, sizes = _corners(np.concatenate(rings), np.array([len(ring) for ring in rings]))
    begins = sizes.cumsum() - sizes
    # Start each ring at its first corner of the hull, so that the result does not depend on the
    # first point, and close it.
    leftmost = np.minimum.reduceat(points[:, 0], begins)
    heights = np.where(points[:, 0] == np.repeat(leftmost, sizes), points[:, 1], np.inf)
    start = _first(heights == np.repeat(np.minimum.reduceat(heights, begins), sizes), begins)
    owner = np.repeat(np.arange(len(sizes)), sizes + 1)
    opens = (sizes + 1).cumsum() - sizes - 1
    step = np.arange(len(owner)) - opens[owner]
    closed = points[begins[owner] + (start[owner] - begins[owner] + step) % sizes[owner]]

    far = ((closed - closed[opens][owner]) ** 2).sum(axis=1)
    keep = step % _ANCHOR == 0
    keep[_first(far == np.maximum.reduceat(far, opens)[owner], opens)] = True
    keep[opens + sizes] = True
    marks = np.flatnonzero(keep)
    same = owner[marks[:-1]] == owner[marks[1:]]
    _split(closed, marks[:-1][same], marks[1:][same], tolerance, keep)

    keep[opens + sizes] = False  # the repeated first point
    keep |= (np.add.reduceat(keep, opens, dtype=np.int64) < 3)[owner] & (step < sizes[owner])
    counts = np.add.reduceat(keep, opens, dtype=np.int64)
    return np.split(closed[keep], counts.cumsum()[:-1])


def _corners(points: Ring, sizes: _Ints) -> tuple[Ring, _Ints]:
    """Concatenated rings without the points on straight lines."""
    begins = sizes.cumsum() - sizes
    here = np.arange(len(points))
    before, after = here - 1, here + 1
    before[begins], after[begins + sizes - 1] = begins + sizes - 1, begins
    (x, y), (next_x, next_y) = (points - points[before]).T, (points[after] - points).T
    bends = (x * next_y != y * next_x) | (x * next_x + y * next_y <= 0)
    counts = np.add.reduceat(bends, begins, dtype=np.int64)
    bends |= np.repeat(counts < 3, sizes)  # a degenerate ring, on one line
    return points[bends], np.add.reduceat(bends, begins, dtype=np.int64)


def _split(
    points: Ring, first: _Ints, last: _Ints, tolerance: float, keep: NDArray[np.bool_]
) -> None:
    """Mark in `keep` the points needed between each `first` and `last`."""
    while True:
        open_ = last - first > 1
        first, last = first[open_], last[open_]
        if not len(first):
            return
        sizes = last - first - 1
        begins = sizes.cumsum() - sizes
        owner = np.repeat(np.arange(len(sizes)), sizes)
        inner = np.arange(len(owner)) - begins[owner] + first[owner] + 1
        distances = _distances(points[inner], points[first][owner], points[last][owner])
        worst = np.maximum.reduceat(distances, begins)
        middle = inner[_first(distances == worst[owner], begins)]
        beyond = worst > tolerance
        first, middle, last = first[beyond], middle[beyond], last[beyond]
        keep[middle] = True
        first, last = np.concatenate([first, middle]), np.concatenate([middle, last])


def _first(where: NDArray[np.bool_], begins: _Ints) -> _Ints:
    """The first index at which `where` holds, from each of `begins` to the next."""
    places = np.where(where, np.arange(len(where)), len(where))
    return np.minimum.reduceat(places, begins)


def _distances(points: Ring, start: Ring, stop: Ring) -> NDArray[np.float64]:
    """The distance of each point from the segment between its `start` and `stop`."""
    along, beyond = stop - start, points - start
    length = (along**2).sum(axis=1)
    share = (beyond * along).sum(axis=1) / np.where(length > 0, length, 1)
    x, y = (beyond - np.clip(share, 0, 1)[:, None] * along).T
    return np.asarray(np.hypot(x, y))
