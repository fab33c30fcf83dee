"""Volumes: tissue in voxels, its projection from a point source, and smooth noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boneseg.simulate.projector import Array, enlarged
from boneseg.simulate.vessels import Vessels

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tissue:
    """The fractions of each voxel that are body, muscle (or as dense) and fat, float32; vessels.

    `first` is the middle of the first voxel in the ground frame, `rest` are the places of the
    skeleton's bodies at rest, `voxel` is the side of a voxel; mm.
    """

    first: Floats
    rest: Mapping[str, Floats]
    voxel: float
    body: Array
    muscle: Array
    fat: Array
    vessels: Vessels | None = None

    def project(
        self,
        anchor: str,
        place: Floats,
        scale: Floats,
        frame: Floats,
        aim: Floats,
        shape: tuple[int, int],
        pitch: float,
        distance: float,
    ) -> tuple[Array, Array, Array]:
        """Millimetres of body, muscle and fat at each pixel of `shape`, seen along `frame`.

        The volume moves with the body `anchor` of the skeleton: `place` is its placement (4 x 4),
        `scale` its scale. The rows of `frame` are image right, image down and away from the source,
        in the ground frame; `aim` is the point at the centre of the film, `distance` (mm) its
        distance from the source, `pitch` mm per pixel there.
        """
        rest = self.rest[anchor]
        inward = rest[:3, :3] @ np.diag(1 / scale) @ place[:3, :3].T  # ground to the volume's axes
        turns = frame @ inward.T
        middle = inward @ (aim - place[:3, 3]) + rest[:3, 3] - self.first
        body, muscle, fat = (
            project_volume(one, turns, middle, shape, pitch, distance, self.voxel, slabs=10)
            for one in (self.body, self.muscle, self.fat)
        )
        if self.vessels is not None:
            muscle += self.vessels.project(turns, middle, shape, pitch, distance)
        return body, muscle, fat


def project_volume(
    volume: Array,
    turns: Floats,
    middle: Floats,
    shape: tuple[int, int],
    pitch: float,
    distance: float,
    voxel: float,
    slabs: int = 6,
) -> Array:
    """The integral of a volume along the rays (mm, float32 `shape`), slab by slab.

    The rows of `turns` are image right, image down and away from the source, in the volume's axes;
    for a scaled volume they are divided by the scale of each axis. `middle` (mm in the volume) is
    imaged at the centre, `distance` (mm) from the source, at `pitch` mm per pixel. Each slab is
    magnified according to its depth; the volume is extended beyond its borders.
    """
    from scipy.ndimage import affine_transform

    nearest, farthest = _depths(np.array(volume.shape) - 1, turns, middle / voxel)
    deep = int((farthest - nearest) / slabs) + 1
    step = max(pitch / voxel, 1.0)  # voxels between rays: no finer than the volume
    grid = (int(shape[0] * pitch / voxel / step) + 1, int(shape[1] * pitch / voxel / step) + 1)
    total = np.zeros(shape, np.float32)
    for slab in range(slabs):
        start = nearest + slab * deep
        depth = (start + deep / 2) * voxel
        near = (distance + depth) / distance  # magnification relative to the middle
        axes = np.stack([turns[2], turns[1] * step * near, turns[0] * step * near], axis=1)
        first = np.array([start, -(grid[0] - 1) / 2, -(grid[1] - 1) / 2])
        offset = middle / voxel + axes @ first
        part = affine_transform(
            volume, axes, offset, (deep, *grid), output=np.float32, order=1, mode="nearest"
        )
        total += enlarged(part.sum(axis=0), shape)
    return np.maximum(total, 0) * np.float32(voxel)


def _depths(last: NDArray[np.intp], turns: Floats, middle: Floats) -> tuple[float, float]:
    """The depths (voxels from `middle`) between which the corners of a volume lie."""
    corners = np.stack(np.meshgrid(*([0, end] for end in last.tolist())), axis=-1).reshape(-1, 3)
    depths = np.linalg.inv(turns.T)[2] @ (corners - middle).T
    return float(depths.min()), float(depths.max())


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], cells: float) -> Array:
    """Noise of unit variance that varies over about `cells` voxels: float32 of this shape."""
    from scipy.ndimage import gaussian_filter

    coarse = max(1.0, cells / 2)
    small = [int(np.ceil(n / coarse)) + 2 for n in shape]
    values = gaussian_filter(rng.standard_normal(small, dtype=np.float32), cells / coarse / 2)
    values /= max(float(values.std()), 1e-6)
    for axis, length in enumerate(shape):
        values = _stretched(values, axis, length, coarse)
    return np.asarray(values, np.float32)


def _stretched(values: Array, axis: int, length: int, factor: float) -> Array:
    """Enlarge one axis by linear interpolation, to `length`: far faster than `ndimage.zoom`."""
    at = np.arange(length) / factor
    low = at.astype(np.intp)
    part = (at - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(3)])
    below, above = np.take(values, low, axis), np.take(values, low + 1, axis)
    above -= below
    above *= part
    above += below
    return above
