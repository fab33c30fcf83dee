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
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from boneseg.preprocessing import Floats, Placement, resize

# Of the weights of cubic interpolation in two dimensions, whose sum is 1, the negative ones add up
# to -9/32 at most (half-way between pixels): by so much of their range values can be exceeded.
_OVERSHOOT = 9 / 32
_ROUNDING = 1e-4
_ROWS, _COLUMNS = 4, 32  # cells of a group, interpolated at once: too few for BLAS to start threads


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
    rows, down = _axis(film[0], window.shape[0], _ROWS)
    columns, across = _axis(film[1], window.shape[1], _COLUMNS)
    mask = bone.repeat(np.diff(columns), axis=1).repeat(np.diff(rows), axis=0)
    for top, bottom, left, right in _blocks(doubt):
        (above, vertical), (beside, horizontal) = down[top // _ROWS], across[left // _COLUMNS]
        part = np.s_[rows[top] : rows[bottom]], np.s_[columns[left] : columns[right]]
        first = columns[left // _COLUMNS * _COLUMNS]
        wide = window[above, beside] @ horizontal[part[1].start - first : part[1].stop - first].T
        mask[part] = vertical @ wide >= threshold
    return mask


def undecided(probability: Floats, place: Placement, threshold: float) -> NDArray[np.bool_]:
    """The cells in which the outline can lie: bool (height + 1) x (width + 1) of the placement.

    Cell (i, j) lies between rows i - 1 and i of the film's window of the working grid, and between
    columns j - 1 and j; the outermost cells reach to the edge of the film.
    """
    return _decided(place.window(probability), threshold)[1]


def cubic_weights(old: int, new: int) -> tuple[NDArray[np.intp], Floats]:
    """The 4 of `old` pixels that `resize` makes each of more pixels from, and their weights.

    Both 4 x new; the sum of the weights is 1. Pixels beyond the edge (below 0, from `old` on) have
    no weight. Cubic convolution with a = -0.5 (Keys, 1981).
    """
    centres = (np.arange(new) + 0.5) * (old / new) - 0.5
    taps = np.floor(centres).astype(np.intp) + np.arange(-1, 3)[:, None]
    distance = np.abs(taps - centres)
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((2.5 - 0.5 * distance) * distance - 4) * distance + 2
    weights = np.where(distance < 1, near, far) * ((taps >= 0) & (taps < old))
    return taps, (weights / weights.sum(axis=0)).astype(np.float32)


def _decided(window: Floats, threshold: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The cells that are all bone, and those in which the outline can lie."""
    low, high = _around(window, np.minimum), _around(window, np.maximum)
    overshoot = _OVERSHOOT * (high - low) + _ROUNDING
    bone = low - overshoot >= threshold
    return bone, ~bone & (high + overshoot >= threshold)


def _around(window: Floats, least: np.ufunc) -> Floats:
    """The least (or greatest) of the 4 x 4 pixels around each cell, (h + 1) x (w + 1)."""
    found = np.pad(window, 2, mode="edge")
    for step in (1, 2):  # of 2 adjacent pixels, then of 4
        found = least(found[step:], found[:-step])
        found = least(found[:, step:], found[:, :-step])
    return found


def _starts(length: int, pixels: int) -> NDArray[np.intp]:
    """The first of `length` pixels of the film in each cell between `pixels`, and their end."""
    centres = (np.arange(length) + 0.5) * (pixels / length)
    cells = np.floor(centres - 0.5).astype(np.intp) + 1
    return np.searchsorted(cells, np.arange(pixels + 2))


@lru_cache(maxsize=8)  # the films of a folder are often of one size
def _axis(
    length: int, pixels: int, cells: int
) -> tuple[NDArray[np.intp], list[tuple[slice, Floats]]]:
    """The `_starts` of the cells along an axis, and how each group of so many cells is made.

    That is from which pixels of the window, with which weights: the film's pixels x the window's.
    """
    starts = _starts(length, pixels)
    count = len(starts) - 1
    taps, weights = cubic_weights(count - 1, int(starts[-1]))
    groups = []
    for first in range(0, count, cells):
        end = min(first + cells, count)
        part, edge = slice(starts[first], starts[end]), first - 2
        found = np.zeros((part.stop - part.start, end + 1 - edge), np.float32)
        found[np.arange(len(found)), taps[:, part] - edge] = weights[:, part]
        near = slice(max(0, edge), min(count - 1, end + 1))
        groups.append((near, found[:, near.start - edge : near.stop - edge]))
    return starts, groups


def _blocks(cells: NDArray[np.bool_]) -> Iterator[tuple[int, int, int, int]]:
    """Blocks that cover the marked cells: the first row, the end, the first column, the end.

    Each lies in one group of `_ROWS` and one of `_COLUMNS` cells.
    """
    marked = np.logical_or.reduceat(cells, range(0, len(cells), _ROWS), axis=0)
    marked = np.pad(marked, ((0, 0), (1, 1)))
    bands, edges = np.nonzero(marked[:, 1:] != marked[:, :-1])
    runs = zip(bands[::2].tolist(), edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    for band, left, right in runs:
        top, bottom = band * _ROWS, min((band + 1) * _ROWS, len(cells))
        for start in range(left // _COLUMNS * _COLUMNS, right, _COLUMNS):
            yield top, bottom, max(left, start), min(start + _COLUMNS, right)
