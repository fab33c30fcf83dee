"""Films of a CT volume and its bone labels: real anatomy, projected from any angle.

    body = read_ct(Path("chest.nii.gz"), Path("labels.nii.gz"), bones=range(25, 51))
    film = ct_film(seed=7, size=(320, 320), body=body)

Both are NIfTI volumes of one shape. They are brought to cubes of `CUBE` mm, turned, and summed
along the rays slab by slab; each slab is enlarged as perspective has it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boneseg.errors import UsageError
from boneseg.simulate.film import MIN_SIDE, Film, check_size
from boneseg.simulate.projector import Array, Paths, enlarged
from boneseg.simulate.views import take_film

Rng = np.random.Generator

CUBE = 1.5  # mm, the side of a voxel
_SLABS = 6
_COMPACT = 1800.0  # HU of compact bone
_SOFT = 50.0  # HU of muscle: what is denser in a bone is mineral
_AIR = -1000.0  # HU


@dataclass(frozen=True)
class CtBody:
    """Volumes of one shape, float32, voxels of `CUBE` mm; axes to the right, the front, and up.

    `flesh` is the density of what is no mineral against muscle's, `mineral` that of bone mineral
    against compact bone's, and `bone` the share of each voxel that is labelled.
    """

    flesh: Array
    mineral: Array
    bone: Array


def read_ct(ct: Path, labels: Path, bones: Collection[int] | None = None) -> CtBody:
    """Read a CT volume (HU) and its labels; `bones` are the labels of bone, all but 0 if left out.

    A voxel that is no number, as beside what the scanner saw, is air.
    Raises UsageError for volumes that cannot be read, are not alike, or hold no bone.
    """
    from scipy.ndimage import zoom

    volume, spacing = _volume(ct)
    marks, _ = _volume(labels)
    if volume.shape != marks.shape:
        raise UsageError(f"{labels}: is {marks.shape}, and {ct} is {volume.shape}; give its labels")
    marked = np.isin(marks, list(bones)) if bones is not None else marks > 0
    if not marked.any():
        raise UsageError(f"{labels}: holds none of the labels of bone; say which with --bones")
    steps = [side / CUBE for side in spacing]
    known = volume.astype(np.float32)
    known[~np.isfinite(known)] = _AIR
    hounsfield = zoom(known, steps, order=1)
    bone = zoom(marked.astype(np.float32), steps, order=1)
    mineral = np.clip((hounsfield - _SOFT) / (_COMPACT - _SOFT), 0, 1.1) * (bone > 0.3)
    flesh = np.clip((hounsfield - _AIR) / (_SOFT - _AIR), 0, 1.2)
    flesh = np.where(bone > 0.3, np.clip(1 - mineral, 0, 1), np.minimum(flesh, 1.05))
    return CtBody(*(np.ascontiguousarray(one, np.float32) for one in (flesh, mineral, bone)))


def _volume(path: Path) -> tuple[NDArray[Any], tuple[float, ...]]:
    """A NIfTI volume with its axes to the right, the front and up, and the sides of a voxel."""
    import nibabel

    try:
        image: Any = nibabel.as_closest_canonical(nibabel.load(path))  # type: ignore[no-untyped-call]
        data = np.asanyarray(image.dataobj)
    except (OSError, ValueError, EOFError, nibabel.filebasedimages.ImageFileError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{path}: is no NIfTI volume that can be read ({reason})") from None
    if data.ndim != 3:
        raise UsageError(f"{path}: has {data.ndim} axes; give a volume of three")
    return data, tuple(float(side) for side in image.header.get_zooms())


def ct_film(seed: int, size: tuple[int, int], body: CtBody) -> Film:
    """The film of this seed, as large as fits into `size` (height, width); from any side.

    The same seed, size and body give the same bytes. Raises UsageError for a film under 32 x 32.
    """
    check_size(size)
    rng = np.random.default_rng(seed)
    aspect = float(rng.uniform(0.75, 1.3))
    height = max(MIN_SIDE, round(min(size[0], size[1] / aspect)))
    shape = (height, max(MIN_SIDE, round(height * aspect)))
    sides = np.array(body.bone.shape) * CUBE
    span = float(rng.uniform(0.45, 1.1)) * float(sides[[0, 2]].max())
    pitch = span / max(shape)  # mm at the middle of the body
    turns = _turns(rng)
    middle = sides / 2 + rng.normal(0, 0.12, 3) * sides
    distance = float(rng.uniform(1000, 1800))
    ways = [
        _project(volume, turns, middle, shape, pitch, distance)
        for volume in (body.bone, body.mineral, body.flesh)
    ]
    ways = [way * np.float32(CUBE) for way in ways]
    bone, mineral, flesh = ways
    fat = np.float32(rng.uniform(0, 0.3)) * flesh
    paths = Paths(bone, mineral, flesh - fat, fat, np.zeros_like(bone))
    return take_film(rng, paths, pitch, "ct")


def _turns(rng: Rng) -> NDArray[np.float64]:
    """Rows: the image's right, its down, and away from the source, in the body's axes."""
    azimuth = np.radians(rng.choice([0, 0, 180, 180, 90, rng.uniform(0, 360)]) + rng.normal(0, 8))
    tilt, roll = np.radians(rng.normal(0, 6, 2))
    front = np.array([np.sin(azimuth), np.cos(azimuth), 0.0])
    away = -(front * np.cos(tilt) + np.array([0, 0, np.sin(tilt)]))
    right = np.cross(away, np.array([0.0, 0.0, 1.0]))
    right /= np.linalg.norm(right)
    down = np.cross(away, right)  # right, down, away: a right-handed system
    cos, sin = np.cos(roll), np.sin(roll)
    return np.stack([cos * right + sin * down, cos * down - sin * right, away])


def _project(
    volume: Array,
    turns: NDArray[np.float64],
    middle: NDArray[np.float64],
    shape: tuple[int, int],
    pitch: float,
    distance: float,
) -> Array:
    """The sum of a volume along the rays, in voxels, at each pixel of a film of `shape`."""
    from scipy.ndimage import affine_transform

    reach = float(np.linalg.norm(volume.shape)) / 2  # voxels, to the far corner
    deep = int(2 * reach / _SLABS)
    step = max(pitch / CUBE, 1.0)  # voxels between rays: no finer than the volume
    grid = (int(shape[0] * pitch / CUBE / step) + 1, int(shape[1] * pitch / CUBE / step) + 1)
    total = np.zeros(shape, np.float32)
    for slab in range(_SLABS):
        start = -reach + slab * deep
        depth = (start + deep / 2) * CUBE
        near = (distance + depth) / distance  # how much wider the beam is here than at the middle
        axes = np.stack([turns[2], turns[1] * step * near, turns[0] * step * near], axis=1)
        first = np.array([start, -(grid[0] - 1) / 2, -(grid[1] - 1) / 2])
        offset = middle / CUBE + axes @ first
        part = affine_transform(
            volume, axes, offset, (deep, *grid), output=np.float32, order=1, mode="constant"
        )
        total += enlarged(part.sum(axis=0), shape)
    return np.maximum(total, 0)
