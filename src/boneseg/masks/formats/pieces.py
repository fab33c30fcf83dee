"""The connected pieces of a mask, their extents and run lengths, at the cost of their pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]  # N x 2: row, column


@dataclass(frozen=True)
class Extent:
    """The size of pixels along and across its main axis, in the unit of the spacing; its angle."""

    length: float
    width: float
    degrees: float


def pieces(mask: NDArray[np.bool_], *, by_columns: bool = False) -> Iterator[Places]:
    """The pixels of each connected piece (diagonals connect), row by row or column by column.

    The pieces are in the order of their first pixels, row by row.
    """
    from scipy.ndimage import label

    numbered, count = label(mask, np.ones((3, 3)))
    if by_columns:
        columns, rows = np.nonzero(mask.T)
    else:
        rows, columns = np.nonzero(mask)
    numbers = numbered[rows, columns]
    order = np.argsort(numbers, kind="stable")  # a radix sort: linear
    places = np.stack([rows[order], columns[order]], axis=1)
    ends = np.bincount(numbers, minlength=count + 1)[1:].cumsum()
    return (places[start:stop] for start, stop in pairwise([0, *ends.tolist()]))


def extent(points: Places, spacing: tuple[float, float] = (1.0, 1.0)) -> Extent:
    """The extent of pixels (N x 2: row, column) of the given size (of a row, of a column).

    The projection of a pixel on a direction (a, b) is |a| + |b| of its sides wide.
    """
    sides = np.array(spacing)
    scaled = points * sides
    centred = scaled - scaled.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    main, across = axes[:, 1], axes[:, 0]
    spans = [np.ptp(centred @ axis) + np.abs(axis) @ sides for axis in (main, across)]
    down, right = main if main[0] >= 0 else -main
    return Extent(float(spans[0]), float(spans[1]), float(np.degrees(np.arctan2(-right, down))))


def run_lengths(flat: NDArray[np.int64], size: int) -> list[int]:
    """Runs of a picture of `size` pixels, the first outside; `flat` are those inside, rising."""
    breaks = np.flatnonzero(np.diff(flat) > 1)
    starts = flat[np.concatenate([[0], breaks + 1])]
    stops = flat[np.concatenate([breaks, [len(flat) - 1]])] + 1
    edges = np.concatenate([[0], np.stack([starts, stops], axis=1).ravel(), [size]])
    lengths: list[int] = np.diff(edges).tolist()
    return lengths if lengths[-1] else lengths[:-1]
