"""A pass along the outline, on a finer grid, by a network of its own.

    outline = Outline.of(coarse, place, threshold)   # of what the other grids have found
    view, window = outline.view(film), outline.window(film.shape)   # what the network is given
    outline.refined(fine)                            # one probability, on the finer grid

The network is shown what the other grids have found, and locates the edge more precisely. What is
bone at all is decided on the coarser grids, where a network sees more of the body: so the answer
here counts on their outline, and ever less away from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boneseg.bundle.card import MOST_REACH
from boneseg.inference.scales import Seen, carried
from boneseg.preprocessing import Floats, Placement

REACH = 48  # px of the finer grid, from the outline: as far as the pass usually counts
MARGIN = MOST_REACH  # px of the finer grid, beside the outline, that the network sees
STEP = 32  # px; sides of a window are multiples, as those of grids

Mask = NDArray[np.bool_]
Window = tuple[slice, slice]  # rows and columns


@dataclass(frozen=True)
class Outline:
    """What was found on coarser grids, and its outline, on a finer grid: height x width of `place`.

    found: the probability, float32. edge: the pixels on either side of the outline, bool. place:
    where the film is on the finer grid.
    """

    found: Floats
    edge: Mask
    place: Placement

    @classmethod
    def of(cls, coarse: Seen, place: Placement, threshold: float) -> Outline:
        """The outline of a probability of another grid. threshold: from there on it is bone."""
        found = carried(*coarse, place)
        return cls(found, edge_of(found >= threshold), place)

    def view(self, film: Floats) -> Floats:
        """The input of the network that finds outlines: float32 1 x 2 x height x width.

        film: on the finer grid, standardised.
        """
        found = np.full_like(film, -1)
        self.place.window(found)[:] = 2 * self.found - 1
        return np.stack([film, found])[None]

    def window(self, grid: tuple[int, ...]) -> Window | None:
        """The part of the grid, of (height, width), with the outline and MARGIN px beside it.

        None if there is no outline.
        """
        if not self.edge.any():
            return None
        return (
            _span(np.flatnonzero(self.edge.any(1)) + self.place.top, grid[0]),
            _span(np.flatnonzero(self.edge.any(0)) + self.place.left, grid[1]),
        )

    def refined(self, fine: Floats, reach: int = REACH) -> Floats:
        """The probability with a finer one along the outline, float32: the size of the grid.

        fine: of the network that finds outlines, likewise. reach: px, at most MARGIN: beyond that
        the network sees nothing.
        """
        result = np.zeros_like(fine)
        share = nearness(self.edge, reach)
        self.place.window(result)[:] = self.found + share * (self.place.window(fine) - self.found)
        return result


def _span(rows: NDArray[np.intp], most: int) -> slice:
    """The rows from the first to the last of these, with a margin: at most so many."""
    first, last = max(0, int(rows[0]) - MARGIN), min(most, int(rows[-1]) + 1 + MARGIN)
    length = min(most, -(-(last - first) // STEP) * STEP)
    first = min(first, most - length)
    return slice(first, first + length)


def nearness(edge: Mask, reach: int) -> Floats:
    """How near a pixel is to an edge: 1 on it, 0 `reach` steps away.

    edge: bool H x W. reach: below 256. Steps go along rows and columns. Float32 H x W, 0 where
    there is no edge.
    """
    near, total = edge, edge.astype(np.uint8)  # quicker to add to than float32
    for _ in range(reach - 1):
        near = grown(near)
        total += near
    return total.astype(np.float32) / np.float32(reach)


def edge_of(mask: Mask) -> Mask:
    """The pixels on either side of an edge of a mask, bool H x W."""
    return grown(mask) & grown(~mask)


def grown(region: Mask, steps: int = 1) -> Mask:
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
