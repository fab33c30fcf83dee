"""Combine what a network finds on two grids of one film, on the finer one.

A network errs in different places at different scales: its mean over two is better than either.
"""

from __future__ import annotations

import numpy as np

from boneseg.preprocessing import Floats, Placement, resize


def averaged(coarse: Floats, place: Placement, fine: Floats, finer: Placement) -> Floats:
    """The mean of two probabilities, each float32 on its own grid, on the fine one."""
    window = finer.window(fine)
    result = fine.copy()
    finer.window(result)[:] = (window + carried(coarse, place, finer)) / 2
    return result


def carried(coarse: Floats, place: Placement, finer: Placement) -> Floats:
    """A probability on another grid, where the film is: float32 height x width of `finer`."""
    return np.clip(resize(place.window(coarse), (finer.height, finer.width)), 0, 1)
