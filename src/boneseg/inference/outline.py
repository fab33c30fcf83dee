"""A pass along the outline, on a finer grid, by a network of its own.

    view = outline_view(film, coarse, place)     # what that network could be given
    outline_window(view, place, threshold)       # the part of it that it is given
    along_outline(coarse, fine, threshold)       # one probability, on the finer grid

The network is shown what the other grids have found, and locates the edge more precisely. What is
bone at all is decided on the coarser grids, where a network sees more of the body: so the answer
here counts on their outline, and ever less away from it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from boneseg.inference.scales import Seen, carried
from boneseg.preprocessing import Floats, Placement

REACH = 32  # px of the finer grid, from the outline: as far as the pass counts
MARGIN = 48  # px of the finer grid, beside the outline, that the network sees
STEP = 32  # px; sides of a window are multiples, as those of grids

Window = tuple[slice, slice]  # rows and columns


def outline_view(film: Floats, coarse: Seen, place: Placement) -> Floats:
    """The input of the network that finds outlines: float32 1 x 2 x height x width.

    film: on the finer grid, standardised; place: where it is there. coarse: what was found so far.
    """
    found = np.full_like(film, -1)
    place.window(found)[:] = 2 * carried(*coarse, place) - 1
    return np.stack([film, found])[None]


def outline_window(view: Floats, place: Placement, threshold: float) -> Window | None:
    """The part of a view that holds the outline of what was found, and MARGIN px beside it.

    view: of `outline_view`; place: of the film in it. None if there is no outline.
    """
    mask = place.window(view[0, 1]) >= 2 * threshold - 1
    edge = _edge(mask)
    if not edge.any():
        return None
    height, width = view.shape[2:]
    return (
        _span(np.flatnonzero(edge.any(1)) + place.top, height),
        _span(np.flatnonzero(edge.any(0)) + place.left, width),
    )


def _span(rows: NDArray[np.intp], most: int) -> slice:
    """The rows from the first to the last of these, with a margin: at most so many."""
    first, last = max(0, int(rows[0]) - MARGIN), min(most, int(rows[-1]) + 1 + MARGIN)
    length = min(most, -(-(last - first) // STEP) * STEP)
    first = min(first, most - length)
    return slice(first, first + length)


def along_outline(coarse: Seen, fine: Seen, threshold: float) -> Seen:
    """The coarse probability with the fine one along its outline, on the grid of the fine one."""
    found, place = fine
    first, second = carried(*coarse, place), place.window(found)
    result = np.zeros_like(found)
    share = nearness(first >= threshold, REACH)
    place.window(result)[:] = first + share * (second - first)
    return result, place


def nearness(mask: NDArray[np.bool_], reach: int) -> Floats:
    """How near a pixel is to an edge of a mask: 1 on either side of it, 0 `reach` steps away.

    mask: bool H x W. reach: below 256. Steps go along rows and columns. Float32 H x W, 0 where
    there is no edge.
    """
    near = _edge(mask)
    total = near.astype(np.uint8)  # quicker to add to than float32
    for _ in range(reach - 1):
        near = grown(near)
        total += near
    return total.astype(np.float32) / np.float32(reach)


def _edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels on either side of an edge of a mask, bool H x W."""
    return grown(mask) & grown(~mask)


def grown(region: NDArray[np.bool_], steps: int = 1) -> NDArray[np.bool_]:
    """A region, bool H x W, and all within so many steps of it along rows and columns.

    As scipy.ndimage.binary_dilation, whose import takes half as long as a cold start.
    """
    for _ in range(steps):
        before, region = region, region.copy()
        region[1:] |= before[:-1]
        region[:-1] |= before[1:]
        region[:, 1:] |= before[:, :-1]
        region[:, :-1] |= before[:, 1:]
    return region
