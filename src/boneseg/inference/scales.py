"""Combine what a network finds on several grids of one film, on the finest of them.

A network errs in different places at different scales: its mean over them is better than any. Which
scales help depends on the width of the bones: ribs and phalanges are a few pixels wide on a grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boneseg.bundle.card import ONNX, OUTLINE_ONNX
from boneseg.preprocessing import Floats, Placement, Preparation, resize

Seen = tuple[Floats, Placement]  # a probability on its grid, float32, and where the film is there


@dataclass(frozen=True)
class Pass:
    """A pass of a network over a film: the grid, and how many views of the film it sees at once.

    outline: whether it is the pass along the outline, of a network of its own: see `outline.py`.
    """

    grid: Preparation
    views: int
    outline: bool = False

    @property
    def file(self) -> str:
        """The file of its network in a bundle."""
        return OUTLINE_ONNX if self.outline else ONNX

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of the network's input: views x channels x height x width."""
        return self.views, 2 if self.outline else 1, self.grid.height, self.grid.width


def bone_width(mask: NDArray[np.bool_]) -> float:
    """The mean width in px of the bones of a mask, bool H x W: twice their area by their outline.

    Of a long strip along an axis it is the width, of a square half the side. 0 without bone.
    """
    outline = np.count_nonzero(mask[1:] != mask[:-1]) + np.count_nonzero(
        mask[:, 1:] != mask[:, :-1]
    )
    return 2 * int(np.count_nonzero(mask)) / max(int(outline), 1)


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
