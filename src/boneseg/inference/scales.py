"""Combine what a network finds on several grids of one film, on the finest of them.

A network errs in different places at different scales: its mean over them is better than any.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from boneseg.preprocessing import Floats, Placement, resize

Seen = tuple[Floats, Placement]  # a probability on its grid, float32, and where the film is there


def averaged(seen: Sequence[Seen]) -> Seen:
    """The mean of these probabilities, on the grid of most pixels."""
    if len(seen) == 1:
        return seen[0]
    fine, finest = max(seen, key=lambda one: one[0].size)
    total = sum(carried(found, place, finest) for found, place in seen)
    result = fine.copy()
    finest.window(result)[:] = total / np.float32(len(seen))
    return result, finest


def carried(found: Floats, place: Placement, other: Placement) -> Floats:
    """A probability on another grid, where the film is: float32 height x width of `other`."""
    return np.clip(resize(place.window(found), (other.height, other.width)), 0, 1)
