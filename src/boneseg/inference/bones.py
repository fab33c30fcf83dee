"""The bones on a film by name: the mask of a film, divided by the probability of each bone.

    grid = Stretched(192, 128)
    views, where = namer_views((film, place), (probability, at), parts, grid, levels=True)
    named = named_masks(probabilities, where, mask, names)
    named["femur"]          # bool H x W; bones overlap where they do on the film

A bone is where its probability is at least `CLAIM`, within the mask. Its outline is therefore that
of the mask, except where it meets or crosses another bone. The rest of the mask, mostly a narrow
rim, goes to the most probable of the bones that are on the film; where even this one is less
probable than `LEAST`, it stays without a name. A bone outside the mask is never added to it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from boneseg.inference.restoring import restored_mask
from boneseg.inference.scales import Seen, carried
from boneseg.preprocessing import Floats, Placement, Stretched, locally_normalised, resize

CLAIM = 0.5  # probability from which a pixel of the mask is of a bone
LEAST = 0.1  # probability from which a pixel that no bone claims is of the most probable one

Mask = NDArray[np.bool_]


def namer_views(
    film: Seen, probability: Seen, parts: Floats, preparation: Stretched, *, levels: bool
) -> tuple[Floats, Placement]:
    """What the network that names bones is shown, and where the film lies on its grid.

    film, probability: on working grids, with their placements. parts: the probability of each body
    part. preparation: for the network's grid. levels: whether the contrast of the mirror image is
    normalised. Returns float32 2 x (2 + parts) x height x width (see `networks/bones.py`): of the
    film and of its mirror image.
    """
    grid, place = film
    where = preparation.place(place.film)
    seen = np.empty((2, 2 + len(parts), preparation.height, preparation.width), np.float32)
    seen[0, 0] = preparation.laid(resize(place.window(grid), where.size), where)
    seen[0, 1] = 2 * carried(*probability, where) - 1
    second = locally_normalised(seen[0, 0]) if levels else seen[0, 0]
    seen[1, 0] = second[:, ::-1]
    seen[1, 1] = seen[0, 1][:, ::-1]
    seen[:, 2:] = parts[:, None, None]
    return seen, where


def named_masks(
    probabilities: Floats, place: Placement, mask: Mask, names: Sequence[str]
) -> dict[str, Mask]:
    """The mask of each bone on a film, bool H x W, in the order of the names.

    probabilities: of each bone on the working grid, float32 names x height x width. mask: of all
    bone, bool H x W. Bones that are not on the film are left out.
    """
    windows = np.stack([place.window(one) for one in probabilities])
    found: dict[int, Mask] = {}
    rest = mask.copy()
    for index, window in enumerate(windows):
        if window.max() < CLAIM:
            continue
        claimed = restored_mask(probabilities[index], place, CLAIM)
        claimed &= mask
        if claimed.any():
            found[index] = claimed
            rest &= ~claimed
    _share_out(rest, windows, found)
    return {names[index]: claimed for index, claimed in found.items()}


def _share_out(rest: Mask, windows: Floats, found: dict[int, Mask]) -> None:
    """Add each pixel of the rest to the most probable of the bones that are found."""
    rows, columns = np.nonzero(rest)
    best = np.full(len(rows), LEAST, np.float32)
    owners = np.full(len(rows), -1)
    for index in found:
        probability = _at(windows[index], rest.shape, rows, columns)
        better = probability >= best
        best[better], owners[better] = probability[better], index
    for index, claimed in found.items():
        own = owners == index
        claimed[rows[own], columns[own]] = True


def _at(
    window: Floats, film: tuple[int, ...], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> Floats:
    """The probability at pixels of the film, by linear interpolation."""
    sides = []
    for places, pixels, length in zip((rows, columns), film, window.shape, strict=True):
        at = np.clip((places + 0.5) * (length / pixels) - 0.5, 0, length - 1)
        first = at.astype(np.intp)
        sides.append((first, np.minimum(first + 1, length - 1), (at - first).astype(np.float32)))
    (top, bottom, down), (left, right, across) = sides
    above = window[top, left] * (1 - across) + window[top, right] * across
    below = window[bottom, left] * (1 - across) + window[bottom, right] * across
    return np.asarray(above * (1 - down) + below * down, np.float32)
