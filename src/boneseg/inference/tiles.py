"""A second pass at higher resolution for films larger than the working grid, in blended tiles.

    finer = magnified(preparation, place)            # a grid of more pixels, or None
    grid, finer_place = finer.film(pixels)
    probability = tiled(network, grid, preparation)
    merged(coarse, place, probability, finer_place)

The whole film on the working grid determines what is bone; the tiles refine its edges. A network
expects bones of the size it was trained on, so tiles are magnified by at most `MAGNIFIED`, whatever
the resolution of the film.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from boneseg.inference.scales import carried
from boneseg.preprocessing import Floats, Placement, Preparation

MAGNIFIED = 2.0
OVERLAP = 0.25  # of a tile, with each neighbour


def magnified(preparation: Preparation, place: Placement) -> Preparation | None:
    """The grid of the second pass; None if the working grid already has full resolution."""
    scale = min(MAGNIFIED, place.square[0] / place.height, place.square[1] / place.width)
    if scale <= 1.05:
        return None
    return Preparation(
        max(preparation.height, round(preparation.height * scale)),
        max(preparation.width, round(preparation.width * scale)),
    )


def tiled(network: Callable[[Floats], Floats], grid: Floats, tile: Preparation) -> Floats:
    """Run the network tile by tile on a grid larger than its own, float32 H x W.

    Overlapping tiles are blended with weights that grow with the distance from the tile edge.
    """
    total, weights = np.zeros_like(grid), np.zeros_like(grid)
    feather = _feather(tile.height)[:, None] * _feather(tile.width)[None]
    for top in _starts(grid.shape[0], tile.height):
        for left in _starts(grid.shape[1], tile.width):
            window = np.s_[top : top + tile.height, left : left + tile.width]
            total[window] += network(grid[window]) * feather
            weights[window] += feather
    return total / weights


def merged(coarse: Floats, place: Placement, fine: Floats, finer: Placement) -> Floats:
    """Merge two passes: the fine one where the coarse one is uncertain, else the coarse one.

    Both are probabilities, each on its own grid; the result is on the fine one, float32.
    """
    first = carried(coarse, place, finer)
    doubt = 1 - np.abs(2 * first - 1)
    result = fine.copy()
    finer.window(result)[:] = first + doubt * (finer.window(fine) - first)
    return result


def _starts(length: int, tile: int) -> list[int]:
    """The starts of tiles that cover a length with an overlap of at least `OVERLAP`."""
    count = max(1, math.ceil((length - tile) / (tile * (1 - OVERLAP))) + 1)
    return [round(i * (length - tile) / max(count - 1, 1)) for i in range(count)]


def _feather(length: int) -> Floats:
    ramp = np.minimum(np.arange(1, length + 1), np.arange(length, 0, -1)) / (OVERLAP * length)
    return np.minimum(ramp, 1).astype(np.float32)
