"""The connected pieces of a mask, and their run lengths, at the cost of their pixels."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]  # N x 2: row, column


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


def run_lengths(flat: NDArray[np.int64], size: int) -> list[int]:
    """Runs of a picture of `size` pixels, the first outside; `flat` are those inside, rising."""
    breaks = np.flatnonzero(np.diff(flat) > 1)
    starts = flat[np.concatenate([[0], breaks + 1])]
    stops = flat[np.concatenate([breaks, [len(flat) - 1]])] + 1
    edges = np.concatenate([[0], np.stack([starts, stops], axis=1).ravel(), [size]])
    lengths: list[int] = np.diff(edges).tolist()
    return lengths if lengths[-1] else lengths[:-1]
