"""Breasts of any size on the chest of a volume of soft tissue.

breasts = draw_breasts(rng)                                # None for half of the subjects
depth, gland = breasts.on(depth, first, torso, voxel)      # mm within the skin, and the gland
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boneseg.simulate.projector import Array

Rng = np.random.Generator
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

FEMALE = 0.5  # share of subjects
LEVEL = 258.0  # mm above the origin of the torso
BESIDE = 92.0  # mm from its midline
GLAND = 0.75  # of the radius; fat around it


@dataclass(frozen=True)
class Breasts:
    """Two halves of ellipsoids; mm. They hang by `sag`, and stand out by `thick` at most."""

    thick: float
    tall: float
    wide: float
    sag: float
    beside: tuple[float, float]  # from the midline: left, right

    def on(self, depth: Array, first: Floats, torso: Floats, voxel: float) -> tuple[Array, Mask]:
        """Add them to a body; the depth within its skin (mm), and where gland is.

        depth: mm within the skin, axes to the front, up and to the right; `voxel` mm a voxel.
        first: the middle of the first one. torso: the origin of the torso. All in one frame.
        """
        depth, gland = depth.copy(), np.zeros(depth.shape, np.bool_)
        for beside in self.beside:
            above, right = torso[1] + LEVEL - self.sag, torso[2] + beside
            level, column = (round((at - first[i]) / voxel) for i, at in ((1, above), (2, right)))
            if not (0 <= level < depth.shape[1] and 0 <= column < depth.shape[2]):
                continue
            body = np.flatnonzero(depth[:, level, column] > 0)
            if not len(body):
                continue
            middle = np.array([first[0] + voxel * body[-1], above, right])
            room = first[0] + voxel * (depth.shape[0] - 2) - middle[0]  # air is left in front
            radii = np.array([max(min(self.thick, room), voxel), self.tall, self.wide])
            box, away = _around(middle, radii, first, voxel, depth.shape)
            before = depth[box]
            gland[box] |= (away < GLAND) & (before < 0)
            depth[box] = np.maximum(before, np.float32(radii.min()) * (1 - away))
        return depth, gland


def _around(
    middle: Floats, radii: Floats, first: Floats, voxel: float, shape: tuple[int, ...]
) -> tuple[tuple[slice, ...], Array]:
    """The box of voxels around an ellipsoid, and how far each is from its middle, in radii."""
    low = np.clip(np.floor((middle - radii - first) / voxel), 0, np.array(shape) - 1).astype(int)
    high = np.clip(np.ceil((middle + radii - first) / voxel) + 1, low + 1, shape).astype(int)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    front, up, right = (
        np.square((first[i] + voxel * np.arange(low[i], high[i]) - middle[i]) / radii[i])
        for i in range(3)
    )
    away = np.sqrt(front[:, None, None] + up[:, None] + right)
    return box, np.asarray(away, np.float32)


def draw_breasts(rng: Rng) -> Breasts | None:
    """The breasts of a random subject, pressed flat or not; None for a male one."""
    if rng.random() >= FEMALE:
        return None
    size = float(np.clip(rng.gamma(3.0, 0.35), 0.25, 2.5))
    pressed = float(rng.uniform(0.4, 1.0))  # against the detector, or by their own weight
    spread = size**0.4 / pressed**0.3
    left, right = (float(rng.normal(BESIDE, 8)) for _ in range(2))
    return Breasts(
        50 * size**0.7 * pressed,
        68 * spread,
        60 * spread,
        30 * size * float(rng.uniform(0, 1)),
        (-left, right),
    )
