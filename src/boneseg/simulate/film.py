"""A simulated radiograph: its pixels, its exact bone mask, and its acquisition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from boneseg.errors import UsageError
from boneseg.radiograph.film import MAX_PIXELS
from boneseg.simulate.projector import Array, Exposure

MIN_SIDE = 32


@dataclass(frozen=True)
class View:
    """How a film was framed and exposed."""

    rotation_deg: float
    side: str  # "L" or "R"
    mm_per_px: float
    exposure: Exposure
    projection: str = ""  # "frontal", "lateral" or "oblique"; empty if unknown


@dataclass(frozen=True)
class Film:
    """A simulated radiograph and its exact bone mask.

    `pixels` float32 (H, W) in [0, 1], bone bright; `mask` bool (H, W), true where the ray meets
    more than `projector.MASK_PATH_MM` of bone and no shutter hides it; `part` of the body.
    `hidden` bool (H, W) is the bone in the mask that the film does not show (`visibility`), and
    `bones` the mask of each bone by its name (`bones.NAMES`), if asked for; bones overlap.
    """

    pixels: Array
    mask: NDArray[np.bool_]
    part: str
    view: View
    hidden: NDArray[np.bool_] | None = None
    bones: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


def check_size(size: tuple[int, int]) -> None:
    """Raise UsageError for a film (height, width) that is too small or too large."""
    if min(size) < MIN_SIDE:
        raise UsageError(
            f"a film of {size[0]}x{size[1]} is too small; give {MIN_SIDE}x{MIN_SIDE} or more"
        )
    if size[0] * size[1] > MAX_PIXELS:
        raise UsageError(
            f"a film of {size[0]}x{size[1]} is too large: it may have "
            f"{MAX_PIXELS // 10**6} million pixels"
        )
