"""The mask on a film's own grid, from a probability on the working grid.

    mask = restored_mask(probability, place, threshold)
    undecided(probability, place, threshold)             # the cells in which its outline can lie

Four adjacent pixels of the working grid are the corners of a cell; one of a large film has some ten
by ten pixels of the film. Where the pixels around a cell lie clearly on one side of the threshold,
so does the interpolated probability in all of the cell, and the mask is constant there. Only the
other cells are interpolated. A second pass along the outline need look at these alone; it gives its
probability, on a finer grid, to `restored_mask`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from boneseg.preprocessing import Floats, Placement, cubic_weights, resize

# Of the weights of cubic interpolation in two dimensions, whose sum is 1, the negative ones add up
# to -9/32 at most (half-way between pixels): by so much of their range values can be exceeded.
_OVERSHOOT = 9 / 32
_ROUNDING = 1e-4
_ROWS, _COLUMNS = 4, 32  # cells interpolated at once, at most: too few for BLAS to start threads


def restored_mask(probability: Floats, place: Placement, threshold: float) -> NDArray[np.bool_]:
    """The mask of a film, bool H x W, from a probability on the working grid.

    As `Preparation.restore(probability, place) >= threshold`, but interpolated only in the cells
    that are undecided.
    """
    window, film = np.ascontiguousarray(place.window(probability)), place.film
    if threshold <= 0:  # interpolated values are cut off at 0
        return np.ones(film, np.bool_)
    if film[0] < place.height or film[1] < place.width:  # averaged: the film is small
        return resize(window, film) >= threshold
    bone, doubt = _decided(window, threshold)
    rows, columns = (_starts(new, old) for new, old in zip(film, window.shape, strict=True))
    mask = np.empty(film, np.bool_)
    for line, top, bottom in zip(bone, rows[:-1], rows[1:], strict=True):
        mask[top:bottom] = np.repeat(line, np.diff(columns))
    down, across = (cubic_weights(old, new) for old, new in zip(window.shape, film, strict=True))
    across = np.ascontiguousarray(across.T)
    for top, bottom, left, right in _blocks(doubt):
        near = np.s_[max(0, top - 2) : bottom + 1], np.s_[max(0, left - 2) : right + 1]
        part = np.s_[rows[top] : rows[bottom]], np.s_[columns[left] : columns[right]]
        wide = window[near] @ across[near[1], part[1]]
        mask[part] = down[part[0], near[0]] @ wide >= threshold
    return mask


def undecided(probability: Floats, place: Placement, threshold: float) -> NDArray[np.bool_]:
    """The cells in which the outline can lie: bool (height + 1) x (width + 1) of the placement.

    Cell (i, j) lies between rows i - 1 and i of the film's window of the working grid, and between
    columns j - 1 and j; the outermost cells reach to the edge of the film.
    """
    return _decided(place.window(probability), threshold)[1]


def _decided(window: Floats, threshold: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The cells that are all bone, and those in which the outline can lie."""
    low, high = _around(window, np.minimum), _around(window, np.maximum)
    overshoot = _OVERSHOOT * (high - low) + _ROUNDING
    bone = low - overshoot >= threshold
    return bone, ~bone & (high + overshoot >= threshold)


def _around(window: Floats, least: np.ufunc) -> Floats:
    """The least (or greatest) of the 4 x 4 pixels around each cell, (h + 1) x (w + 1)."""
    found = np.pad(window, 2, mode="edge")
    for axis in (0, 1):
        count = found.shape[axis] - 3
        parts = [np.take(found, range(k, k + count), axis) for k in range(4)]
        found = least.reduce(parts)
    return found


def _starts(length: int, pixels: int) -> NDArray[np.intp]:
    """The first of `length` pixels of the film in each cell between `pixels`, and their end."""
    centres = (np.arange(length) + 0.5) * (pixels / length)
    cells = np.floor(centres - 0.5).astype(np.intp) + 1
    return np.searchsorted(cells, np.arange(pixels + 2))


def _blocks(cells: NDArray[np.bool_]) -> Iterator[tuple[int, int, int, int]]:
    """Blocks that cover the marked cells: the first row, the end, the first column, the end."""
    for top in range(0, len(cells), _ROWS):
        marked = np.pad(cells[top : top + _ROWS].any(axis=0), 1)
        edges = np.flatnonzero(marked[1:] != marked[:-1])
        bottom = min(top + _ROWS, len(cells))
        for left, right in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            for start in range(left, right, _COLUMNS):
                yield top, bottom, start, min(start + _COLUMNS, right)
