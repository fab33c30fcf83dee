"""Films from a CT volume and its labels: real anatomy, varied and projected from any angle.

    body = read_ct(Path("chest.nii.gz"), Path("labels.nii.gz"), bones=range(25, 51))
    film = ct_film(seed=7, size=(320, 320), body=body)

Both are NIfTI volumes of one shape, resampled to cubes of `CUBE` mm. For each film the density of
every labelled structure is varied and the body is bent, widened and stretched; it is then rotated
and summed along the rays slab by slab, each slab magnified by its distance from the source.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boneseg.errors import UsageError
from boneseg.simulate.acquisition import take_film
from boneseg.simulate.film import MIN_SIDE, Film, check_size
from boneseg.simulate.projector import Array, Paths
from boneseg.simulate.regions import projection_of
from boneseg.simulate.volume import project_volume

Rng = np.random.Generator

CUBE = 1.5  # mm, the side of a voxel
_SLABS = 6
_COMPACT = 1800.0  # HU of compact bone
_SOFT = 50.0  # HU of muscle: anything denser in a bone counts as mineral
_STEP_MM = 1.0  # standard deviation of the smoothing of labels
_AIR = -1000.0  # HU
_BEYOND = 1.12  # maximum height of a film, in heights of the volume, which is extended at its ends
_AIRY = 0.6  # relative to muscle: the density below which a structure is filled with air


@dataclass(frozen=True)
class CtBody:
    """Volumes of one shape, voxels of `CUBE` mm; axes to the right, the front, and up.

    `flesh` (float32) is the density of soft tissue relative to muscle, `mineral` (float32) that of
    bone mineral relative to compact bone, `bone` (float32) the fraction of each voxel labelled as
    bone, and `structure` (int32) the label of each voxel, 0 where there is none.
    """

    flesh: Array
    mineral: Array
    bone: Array
    structure: NDArray[np.int32]


def read_ct(ct: Path, labels: Path, bones: Collection[int] | None = None) -> CtBody:
    """Read a CT volume (HU) and its labels; `bones` are the labels of bone (default: all except 0).

    NaN voxels, as outside the scanner's field of view, are read as air. Raises UsageError for
    volumes that cannot be read, differ in shape or contain no bone.
    """
    from scipy.ndimage import gaussian_filter, zoom

    volume, spacing = _volume(ct)
    marks, _ = _volume(labels)
    if volume.shape != marks.shape:
        raise UsageError(
            f"{labels}: has shape {marks.shape}, but {ct} has {volume.shape}; give its labels"
        )
    marked = np.isin(marks, list(bones)) if bones is not None else marks > 0
    if not marked.any():
        raise UsageError(f"{labels}: contains no bone label; set them with --bones")
    steps = [side / CUBE for side in spacing]
    known = volume.astype(np.float32)
    known[~np.isfinite(known)] = _AIR
    hounsfield = zoom(known, steps, order=1)
    # Thick slices give oblique bones steps; smoothing and re-sharpening removes them.
    smooth = gaussian_filter(marked.astype(np.float32), [_STEP_MM / side for side in spacing])
    bone = np.clip((zoom(smooth, steps, order=1) - 0.5) * 2.5 + 0.5, 0, 1)
    structure = zoom(marks.astype(np.int32), steps, order=0)
    mineral = np.clip((hounsfield - _SOFT) / (_COMPACT - _SOFT), 0, 1.1) * (bone > 0.3)
    flesh = np.clip((hounsfield - _AIR) / (_SOFT - _AIR), 0, 1.2)
    flesh = np.where(bone > 0.3, np.clip(1 - mineral, 0, 1), np.minimum(flesh, 1.05))
    floats = [np.ascontiguousarray(one, np.float32) for one in (flesh, mineral, bone)]
    return CtBody(floats[0], floats[1], floats[2], np.ascontiguousarray(structure))


def _volume(path: Path) -> tuple[NDArray[np.number], tuple[float, ...]]:
    """Read a NIfTI volume, axes to the right, front and up, and its voxel size in mm."""
    import nibabel

    try:
        image: Any = nibabel.as_closest_canonical(nibabel.load(path))  # type: ignore[no-untyped-call]
        data = np.asanyarray(image.dataobj)
    except (OSError, ValueError, EOFError, nibabel.filebasedimages.ImageFileError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{path}: cannot be read as a NIfTI volume ({reason})") from None
    if data.ndim != 3:
        raise UsageError(f"{path}: has {data.ndim} axes; give a 3-D volume")
    return data, tuple(float(side) for side in image.header.get_zooms())


def ct_film(seed: int, size: tuple[int, int], body: CtBody) -> Film:
    """Make the film of this seed, from a random side, as large as fits into `size` (height, width).

    The same seed, size and body give the same bytes. Raises UsageError for a film under 32 x 32.
    """
    check_size(size)
    rng = np.random.default_rng(seed)
    aspect = float(rng.uniform(0.7, 1.3))
    height = max(MIN_SIDE, round(min(size[0], size[1] / aspect)))
    shape = (height, max(MIN_SIDE, round(height * aspect)))
    sides = np.array(body.bone.shape) * CUBE
    span = float(rng.uniform(0.45, 1.1)) * float(sides[[0, 2]].max())
    span = min(span, _BEYOND * sides[2] * max(shape) / shape[0])
    pitch = span / max(shape)  # mm at the middle of the body
    turns = _turns(rng)
    middle = sides / 2 + rng.normal(0, 1, 3) * sides * (0.1, 0.1, 0.25)
    play = (_BEYOND * sides[2] - pitch * shape[0]) / 2  # length of the field along the body
    middle[2] = np.clip(middle[2], sides[2] / 2 - play, sides[2] / 2 + play)
    distance = float(rng.uniform(1000, 1800))
    varied = vary_densities(rng, body)
    bend = Bend.draw(rng, body.bone.shape[2])
    bone, mineral, flesh = (
        project_volume(bend(volume), turns, middle, shape, pitch, distance, CUBE, _SLABS)
        for volume in (varied.bone, varied.mineral, varied.flesh)
    )
    fat = np.float32(rng.uniform(0, 0.3)) * flesh
    paths = Paths(bone, mineral, flesh - fat, fat, np.zeros_like(bone))
    part = "chest" if rng.random() < 0.7 else "ct"
    azimuth = float(np.degrees(np.arctan2(turns[2, 0], turns[2, 1])))
    return take_film(rng, paths, pitch, part, projection_of(azimuth))


def vary_densities(rng: Rng, body: CtBody) -> CtBody:
    """Return the body with random densities of every structure, of bones and of soft tissue.

    Air-filled structures (lungs, airways, gas) vary by a factor, as with breathing and disease;
    solid ones by a few percent, and some of them by much, as a bowel with contrast medium.
    """
    count = int(body.structure.max()) + 1
    volume = np.bincount(body.structure.ravel(), minlength=count)
    total = np.bincount(body.structure.ravel(), body.flesh.ravel(), minlength=count)
    mean = total / np.maximum(volume, 1)
    airy = mean < _AIRY
    airy[0] = False  # unlabelled fat and muscle, and the air around the body
    breath = float(np.exp(rng.normal(0.25, 0.35)))
    factor = np.where(
        airy, breath * np.exp(rng.normal(0, 0.12, count)), 1 + rng.normal(0, 0.035, count)
    )
    factor = np.where(~airy & (rng.random(count) < 0.06), rng.uniform(0.3, 1.4, count), factor)
    factor[0] = 1 + rng.normal(0, 0.02)
    flesh = body.flesh * factor.astype(np.float32)[body.structure]
    sound = np.exp(rng.normal(0, 0.12, count) + rng.normal(0, 0.25))
    mineral = body.mineral * sound.astype(np.float32)[body.structure]
    return CtBody(np.minimum(flesh, 1.5), mineral, body.bone, body.structure)


@dataclass(frozen=True)
class Bend:
    """A smooth deformation of a volume, slice by slice: each is shifted and scaled.

    All are float64 arrays with one number per level of the result: `level` is the level of the
    source it is taken from, `right` and `front` its displacement in voxels, `wide` and `deep` its
    scale along the two axes.
    """

    level: NDArray[np.float64]
    right: NDArray[np.float64]
    front: NDArray[np.float64]
    wide: NDArray[np.float64]
    deep: NDArray[np.float64]

    @staticmethod
    def draw(rng: Rng, levels: int) -> Bend:
        """Draw a deformation for a volume of this many levels: another build and posture."""
        at = np.linspace(0, 1, levels)

        def wave(size: float) -> NDArray[np.float64]:
            phase = rng.uniform(0, 2 * np.pi, 2)
            height = rng.normal(0, size, 2)
            return np.asarray(
                height[0] * np.sin(np.pi * at + phase[0])
                + height[1] * np.sin(3 * np.pi * at + phase[1]) / 3
            )

        level = np.clip(np.arange(levels) + wave(0.035) * levels, 0, levels - 1)
        wide = float(np.exp(rng.normal(0, 0.08))) * np.exp(wave(0.06))
        deep = float(np.exp(rng.normal(0, 0.1))) * np.exp(wave(0.06))
        return Bend(level, wave(10 / CUBE), wave(8 / CUBE), wide, deep)

    def __call__(self, volume: Array) -> Array:
        """Return the deformed volume: float32, of the same shape."""
        from scipy.ndimage import affine_transform

        centre = (np.array(volume.shape[:2]) - 1) / 2
        bent = np.empty_like(volume)
        for index, level in enumerate(self.level):
            low = int(level)
            part = np.float32(level - low)
            high = min(low + 1, volume.shape[2] - 1)
            slice_ = volume[:, :, low] * (1 - part) + volume[:, :, high] * part
            scale = 1 / np.array([self.wide[index], self.deep[index]])
            moved = np.array([self.right[index], self.front[index]])
            offset = centre - scale * (centre + moved)
            bent[:, :, index] = affine_transform(slice_, scale, offset, order=1)
        return bent


def _turns(rng: Rng) -> NDArray[np.float64]:
    """Rows: image right, image down, and away from the source, in the body's axes."""
    side = rng.choice([0, 0, 0, 180, 180, 180, 180, 90, rng.uniform(0, 360)])
    azimuth = np.radians(side + rng.normal(0, 8))
    tilt, roll = np.radians(rng.normal(0, 6, 2))
    front = np.array([np.sin(azimuth), np.cos(azimuth), 0.0])
    away = -(front * np.cos(tilt) + np.array([0, 0, np.sin(tilt)]))
    right = np.cross(away, np.array([0.0, 0.0, 1.0]))
    right /= np.linalg.norm(right)
    down = np.cross(away, right)  # right, down, away: a right-handed system
    cos, sin = np.cos(roll), np.sin(roll)
    return np.stack([cos * right + sin * down, cos * down - sin * right, away])
