"""Head and neck: the skin of an atlas on a skeleton's skull, in fine voxels, with its air spaces.

    head = read_head(skin, skull, jaw, spine, rest)   # once
    tissue = head.vary(rng)                           # of one subject

The trunk's voxels of several mm blur noses, lips and throats, which are as sharp and as bright on
films as thin bone. Skin is mapped to the skull at crown, nasion and chin. The axes of all points
are front, up and right, in mm in the ground frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boneseg.simulate.projector import Array
from boneseg.simulate.volume import Tissue, smooth_noise

Rng = np.random.Generator
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

VOXEL = 1.6  # mm
NECK = (70.0, 30.0)  # mm below the jaw: where the head's volume starts, and where it is alone
_MIDDLE = 6.0  # mm to both sides of the middle, for profiles
_SCALP = 7.0  # mm of flesh over the skull, at crown, forehead and occiput
_CHIN = 9.0  # mm below and in front of the jaw
_MARGIN = (52.0, 16.0, 118.0)  # mm around the skull: to the front and back, up, and to both sides


@dataclass(frozen=True)
class Head:
    """Voxels of `VOXEL` mm over head and neck at rest.

    `first` is the middle of the first voxel. `depth` is the distance to the skin, positive inside,
    and `wall` that to bone (mm, float32). `skull` is the front, the base and the length of the
    skull relative to an adult's (mm, mm, 1), `throat` the front of the spine at each level (mm),
    `share` the weight of each level.
    """

    first: Floats
    depth: Array
    wall: Array
    skull: tuple[float, float, float]
    throat: Floats
    jaw: float  # the lowest level of the jaw
    share: Array
    rest: Mapping[str, Floats]

    def vary(self, rng: Rng) -> Tissue:
        """Draw head and neck of one subject: thin or fat, with any nose and throat."""
        from scipy.ndimage import gaussian_filter

        shape = self.depth.shape
        up = self._axis(1)
        fatness = float(np.clip(rng.normal(1.5, 3), -2.5, 10))
        lower = np.clip((self.skull[1] + 60 * self.skull[2] - up) / 60, 0.25, 1)  # scalps stay thin
        depth = self.depth + (fatness * lower).astype(np.float32)
        depth += np.float32(rng.uniform(0.3, 1.2)) * smooth_noise(rng, shape, 40 / VOXEL)
        depth = np.maximum(depth, np.float32(rng.uniform(2.5, 5)) - self.wall)
        depth = self._nose(rng, depth)
        body = np.asarray(np.clip(depth / VOXEL + 0.5, 0, 1) * self.share[:, None], np.float32)

        lean = np.full(shape, np.float32(rng.uniform(0.75, 1.0)))  # share of muscle, else fat
        lean += np.float32(rng.uniform(0, 0.12)) * smooth_noise(rng, shape, 14 / VOXEL)
        layer = float(rng.uniform(0, 2.5)) + 0.5 * max(fatness, 0) * lower
        lean[depth < layer.astype(np.float32)] = np.float32(rng.uniform(0.1, 0.7))
        lean = np.clip(lean, 0, 1)
        density = np.full(shape, np.float32(rng.normal(1.0, 0.03)))
        air = self._air(rng) & (depth > 1)
        density[air] = float(rng.uniform(0, 0.12))
        lean[air] = 1
        soft = float(rng.uniform(0.3, 0.6))
        muscle = gaussian_filter(body * lean * density, soft)
        fat = gaussian_filter(body * (1 - lean), soft)
        return Tissue(self.first, self.rest, VOXEL, body, muscle, fat)

    @property
    def levels(self) -> Floats:
        """The heights of the levels, mm."""
        return self._axis(1)[0, :, 0]

    def _axis(self, axis: int) -> Floats:
        """Coordinates along an axis, to be broadcast."""
        along = self.first[axis] + VOXEL * np.arange(self.depth.shape[axis])
        return np.asarray(along.reshape([-1 if i == axis else 1 for i in range(3)]))

    def _nose(self, rng: Rng, depth: Array) -> Array:
        """Stretch or shrink what stands out in front of the face: nose, lips and chin."""
        front, _, size = self.skull
        plane = int((front + 2 * size - self.first[0]) / VOXEL)
        stretch = float(rng.uniform(0.6, 1.35))
        index = plane + np.arange(depth.shape[0] - plane) / stretch
        return np.concatenate(
            [depth[:plane], depth[np.minimum(np.rint(index).astype(int), depth.shape[0] - 1)]]
        )

    def _air(self, rng: Rng) -> Mask:
        """Nasal cavity, sinuses, mouth and throat, of random sizes; bool."""
        x, y, z = (self._axis(axis) for axis in range(3))
        front, base, size = self.skull
        air = np.zeros(self.depth.shape, bool)

        def ball(back: float, up: float, right: float, half: tuple[float, float, float]) -> None:
            grow = size * float(rng.uniform(0.75, 1.3))
            far: Floats = np.zeros(())
            for axis, at, one in zip((x, y, z), (front - size * back, base + size * up,
                                                 size * right), half, strict=True):  # fmt: skip
                far = far + np.square((axis - at) / (grow * one))
            air[far < 1] = True

        for side in (-1, 1):
            ball(40, 40, 8 * side, (30, 19, 4))  # nasal cavity, beside its septum
            ball(36, 38, 26 * side, (15, 16, 12))  # maxillary sinuses
        ball(72, 58, 0, (12, 9, 13))  # sphenoid
        ball(17, 86, 0, (5, 10, 18))  # frontal
        if rng.random() < 0.5:  # between tongue and palate
            ball(38, float(rng.uniform(0, 6)), 0, (28, float(rng.uniform(1.5, 5)), 18))
        if rng.random() < 0.3:  # an open mouth, or lips apart
            ball(0, float(rng.uniform(-16, -6)), 0, (18, float(rng.uniform(1.5, 5)), 20))
        return air | self._throat(rng, x, y, z)

    def _throat(self, rng: Rng, x: Floats, y: Floats, z: Floats) -> Mask:
        """The airway in front of the spine, from the nasal cavity down; bool."""
        _, base, size = self.skull
        levels = y[0, :, 0]
        deep = float(rng.uniform(3, 9)) * size  # half of it, front to back
        waves = np.interp(levels, np.linspace(levels[0], levels[-1], 9), rng.uniform(0.5, 1.5, 9))
        half = deep * waves
        larynx = np.clip((self.jaw - levels) / 35, 0, 1)
        before = float(rng.uniform(2.5, 6)) + float(rng.uniform(6, 14)) * larynx  # of the spine
        middle = self.throat + size * before + half
        wide = size * float(rng.uniform(8, 17)) * (1 - 0.45 * larynx)
        far = np.square((x - middle[None, :, None]) / half[None, :, None])
        far = far + np.square(z / wide[None, :, None])
        return np.asarray((far < 1) & (y < base + 42 * size))


def read_head(
    skin: Floats, skull: Floats, jaw: Floats, spine: Floats, rest: Mapping[str, Floats]
) -> Head:
    """The head of an atlas whose skin (points N x 3) has roughly been brought to the skeleton.

    skull, jaw, spine: points N x 3 on the bones; rest: places of the skeleton's bodies.
    """
    from scipy.ndimage import distance_transform_edt

    skin = _fitted(skin, skull, jaw)
    low, high = np.minimum(skull.min(0), jaw.min(0)), skull.max(0)
    first = np.array([low[0] - _MARGIN[0], low[1] - NECK[0], -_MARGIN[2]])
    last = np.array([high[0] + _MARGIN[0], high[1] + _MARGIN[1], _MARGIN[2]])
    shape = tuple(((last - first) / VOXEL).astype(int))

    def marked(points: Floats) -> Mask:
        marks = np.zeros(shape, bool)
        at = np.rint((points - first) / VOXEL).astype(np.intp)
        marks[tuple(at[((at >= 0) & (at < shape)).all(axis=1)].T)] = True
        return marks

    inside = _enclosed(marked(skin))
    depth = distance_transform_edt(inside, sampling=VOXEL)
    depth = np.where(inside, depth, -distance_transform_edt(~inside, sampling=VOXEL))
    wall = distance_transform_edt(~marked(np.concatenate([skull, jaw, spine])), sampling=VOXEL)
    levels = first[1] + VOXEL * np.arange(shape[1])
    start, alone = low[1] - NECK[0], low[1] - NECK[1]
    return Head(
        first,
        depth.astype(np.float32),
        wall.astype(np.float32),
        (float(high[0]), float(skull[:, 1].min()), float(np.ptp(skull[:, 0])) / 185),
        _front_of_spine(spine, levels),
        float(low[1]),
        np.clip((levels - start) / (alone - start), 0, 1).astype(np.float32),
        rest,
    )


def _enclosed(shell: Mask) -> Mask:
    """The inside of a surface with gaps, level by level: what no way leads out of."""
    from scipy.ndimage import binary_closing, binary_fill_holes

    inside = np.zeros_like(shell)
    ball = np.hypot(*np.mgrid[-3:4, -3:4]) <= 3
    for level in range(shell.shape[1]):
        closed = binary_closing(np.pad(shell[:, level], 4), ball)
        closed[:, [3, -4]] = True  # where shoulders leave the volume
        inside[:, level] = binary_fill_holes(closed)[4:-4, 4:-4]
    return inside


def _front_of_spine(spine: Floats, levels: Floats) -> Floats:
    """The front of the vertebral bodies at each level, mm; beyond the spine that of its end."""
    middle = spine[np.abs(spine[:, 2]) < 8]
    heights = np.arange(levels[0], min(levels[-1], middle[:, 1].max()), 8.0)
    near = [middle[np.abs(middle[:, 1] - one) < 10][:, 0] for one in heights]
    known = [(h, np.percentile(n, 95)) for h, n in zip(heights, near, strict=True) if len(n)]
    at, front = np.array(known).T
    return np.asarray(np.interp(levels, at, front))


def _fitted(skin: Floats, skull: Floats, jaw: Floats) -> Floats:
    """Map crown, nasion and chin of the skin, and its profile, to those of skull and jaw."""
    face = np.concatenate([skull, jaw])
    nasion, chin = _landmarks(skin)
    bony = _nasion(skull)
    base = jaw[:, 1].min()
    crown, top = skin[:, 1].max(), skull[:, 1].max() + _SCALP
    start = chin[1] - 90
    old = np.array([start, chin[1], nasion[1], crown])
    new = np.array([start, base - _CHIN, bony[1], top])
    up = np.where(skin[:, 1] < start, skin[:, 1], np.interp(skin[:, 1], old, new))

    # Front and back of the profile at chin, nasion and above: what they are, and what they become.
    vault = skin[(skin[:, 1] > nasion[1] - 20) & (np.abs(skin[:, 2]) < _MIDDLE)]
    back_skin, back_bone = vault[:, 0].min(), skull[:, 0].min()
    front_jaw = face[np.abs(face[:, 1] - base) < 12][:, 0].max()
    neck = _back(skin, chin[1])
    was = np.array([[neck, chin[0]], [back_skin, nasion[0]], [back_skin, nasion[0]]])
    becomes = np.array([[neck, front_jaw + _CHIN], [back_bone - _SCALP, bony[0] + _SCALP],
                        [back_bone - _SCALP, bony[0] + _SCALP]])  # fmt: skip
    scale = np.ptp(becomes, axis=1) / np.ptp(was, axis=1)
    shift = becomes[:, 0] - scale * was[:, 0]
    at = [chin[1], nasion[1], crown]
    scales = np.interp(skin[:, 1], [start, *at], [1.0, *scale])
    shifts = np.interp(skin[:, 1], [start, *at], [0.0, *shift])
    return np.stack([scales * skin[:, 0] + shifts, up, skin[:, 2]], axis=1)


def _landmarks(skin: Floats) -> tuple[Floats, Floats]:
    """Nasion and chin (front, up) on the profile of a head that looks to the front."""
    levels, front = _profile(skin, skin[:, 1].max() - 300)
    head = levels > levels.max() - 200
    tip = int(np.argmax(np.where(head, front, -np.inf)))
    above = (levels > levels[tip] + 15) & (levels < levels[tip] + 50)
    nasion = int(np.argmin(np.where(above, front, np.inf)))
    # Below the chin the profile falls back by more than it does anywhere on the face.
    below = np.flatnonzero((levels < levels[tip] - 40) & (front < front[tip] - 45))
    if not len(below):
        raise ValueError("the skin has no face")
    chin = int(below.max()) + 1
    ahead = float(front[(levels >= levels[chin]) & (levels < levels[chin] + 25)].max())
    return np.array([front[nasion], levels[nasion]]), np.array([ahead, levels[chin]])


def _nasion(skull: Floats) -> Floats:
    """The deepest point (front, up) between forehead and nasal bones."""
    levels, front = _profile(skull, skull[:, 1].max() - 120, 12.0)
    face = (levels > skull[:, 1].max() - 115) & (levels < skull[:, 1].max() - 55)
    at = int(np.argmin(np.where(face, front, np.inf)))
    return np.array([front[at], levels[at]])


def _profile(points: Floats, low: float, step: float = 3.0) -> tuple[Floats, Floats]:
    """Levels (up), and the front of the middle of a surface at each."""
    middle = points[np.abs(points[:, 2]) < _MIDDLE]
    levels = np.arange(low, points[:, 1].max() - 5, 1.5)
    near = [middle[np.abs(middle[:, 1] - one) < step][:, 0] for one in levels]
    known = [(one, n.max()) for one, n in zip(levels, near, strict=True) if len(n)]
    at, front = np.array(known).T
    return at, front


def _back(skin: Floats, level: float) -> float:
    """The back of the middle of a surface at a level."""
    near = skin[(np.abs(skin[:, 1] - level) < 5) & (np.abs(skin[:, 2]) < _MIDDLE)]
    return float(near[:, 0].min())
