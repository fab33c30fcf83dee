"""The vessels of the lungs: a tree from each hilum that fills its lung, and its projection.

    vessels = grow_vessels(rng, lung, first, voxel)       # of one subject
    vessels.project(turns, middle, shape, pitch, distance)  # mm at each pixel

On films they are the markings of the lungs: lines as bright as bone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boneseg.simulate.projector import Array

Rng = np.random.Generator
Floats = NDArray[np.float64]

_ENDS = 300, 900  # smallest vessels of a lung
_RADIUS = 0.28, 0.5  # mm, of these
_MURRAY = 3.0  # power of the radius whose sum is kept where a vessel divides: Murray, 1926
_WIDEST = 5.0  # mm
_TORTUOUS = 0.08  # how far the middle of a piece is off its chord, as a share of its length
_CLASSES = 8  # of radii, each drawn with its own sharpness
_STEP = 0.7  # pixels between points along a vessel


@dataclass(frozen=True)
class Vessels:
    """Straight pieces of vessels: their ends (N x 3, mm in the volume) and radii (N, mm)."""

    start: Floats
    end: Floats
    radius: Floats

    def project(
        self, turns: Floats, middle: Floats, shape: tuple[int, int], pitch: float, distance: float
    ) -> Array:
        """Millimetres of vessel along each ray: float32 `shape`. Arguments as `project_volume`."""
        total = np.zeros(shape, np.float32)
        if not len(self.radius):
            return total
        back = np.linalg.inv(turns.T)
        radius = self.radius * abs(float(np.linalg.det(back))) ** (1 / 3)  # of a scaled volume
        ends = [(points - middle) @ back.T for points in (self.start, self.end)]
        steps = np.geomspace(radius.min(), radius.max(), _CLASSES + 1)[1:-1]
        kinds = np.digitize(radius, steps)
        for kind in np.unique(kinds):
            start, end = (points[kinds == kind] for points in ends)
            total += _drawn(start, end, radius[kinds == kind], shape, pitch, distance)
        return total


def grow_vessels(rng: Rng, lung: Array, first: Floats, voxel: float) -> Vessels:
    """The vessels of both lungs of a subject.

    lung: how deep a voxel lies in the pleural space, mm. first: the middle of the first voxel, mm,
    from which places in the volume are counted; the third axis points to the right of the body.
    """
    smallest = float(rng.uniform(*_RADIUS))
    pieces = []
    places = np.argwhere(lung > 2).astype(float) * voxel
    middle = -float(first[2])  # of the body, along the third axis
    for side in (-1, 1):
        inside = places[np.sign(places[:, 2] - middle) == side]
        if len(inside) < 100:
            continue
        hilum = _hilum(inside, middle)
        for _ in range(2):  # arteries and veins
            root = hilum + rng.normal(0, 8, 3)
            chosen = inside[rng.integers(len(inside), size=int(rng.integers(*_ENDS)))]
            ends = chosen + rng.uniform(-0.5, 0.5, chosen.shape) * voxel
            pieces.append(_tree(rng, root, ends, smallest))
    if not pieces:
        return Vessels(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))
    start, end, radius = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return Vessels(start, end, radius)


def _hilum(inside: Floats, middle: float) -> Floats:
    """Where the vessels enter a lung: its inner side, a little above the middle of its height."""
    height = np.percentile(inside[:, 1], 55)
    near = inside[np.abs(inside[:, 1] - height) < 12]
    inner = near[np.argsort(np.abs(near[:, 2] - middle))[: max(1, len(near) // 20)]]
    return np.asarray(inner.mean(axis=0))


def _tree(rng: Rng, root: Floats, ends: Floats, smallest: float) -> tuple[Floats, Floats, Floats]:
    """Pieces of a tree from a root to these ends: each grows from the nearest vessel so far.

    Near ones come first, so that vessels run outwards.
    """
    ends = ends[np.argsort(np.linalg.norm(ends - root, axis=1))]
    places = np.concatenate([root[None], ends])
    far = np.linalg.norm(places - root, axis=1)
    parents = np.zeros(len(places), np.intp)
    for index in range(1, len(places)):
        before = places[:index]
        # The more outward of two vessels at one distance is taken: it runs the same way.
        way = np.linalg.norm(before - places[index], axis=1) + 0.35 * (far[index] - far[:index])
        parents[index] = np.argmin(way)
    flow = np.full(len(places), smallest**_MURRAY)
    for index in range(len(places) - 1, 0, -1):  # children come after their parents
        flow[parents[index]] += flow[index]
    radius = np.minimum(flow[1:] ** (1 / _MURRAY), _WIDEST)
    start, end = places[parents[1:]], places[1:]
    length = np.linalg.norm(end - start, axis=1)
    bend = (start + end) / 2 + rng.normal(0, _TORTUOUS, end.shape) * length[:, None]
    return np.concatenate([start, bend]), np.concatenate([bend, end]), np.tile(radius, 2)


def _drawn(
    start: Floats,
    end: Floats,
    radius: Floats,
    shape: tuple[int, int],
    pitch: float,
    distance: float,
) -> Array:
    """The path lengths through pieces of similar radius; ends are right, down, away (mm).

    The volume of each piece is spread over the pixels along it, and blurred to its width.
    """
    from scipy.ndimage import gaussian_filter

    length = np.linalg.norm(end - start, axis=1)
    counts = np.maximum(1, np.ceil(length / (_STEP * max(pitch, 0.1))).astype(np.intp))
    which = np.repeat(np.arange(len(counts)), counts)
    along = (np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts) + 0.5) / counts[
        which
    ]
    points = start[which] + along[:, None] * (end - start)[which]
    near = distance / (distance + points[:, 2])  # magnification relative to the middle
    column = points[:, 0] * near / pitch + (shape[1] - 1) / 2
    row = points[:, 1] * near / pitch + (shape[0] - 1) / 2
    volume = np.pi * radius[which] ** 2 * (length / counts)[which] * near**2
    total = np.zeros(shape[0] * shape[1])
    top, left = np.floor(row).astype(np.intp), np.floor(column).astype(np.intp)
    for down in (0, 1):
        for across in (0, 1):
            y, x = top + down, left + across
            share = (1 - np.abs(row - y)) * (1 - np.abs(column - x))
            on = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
            weights = (volume * share)[on] / pitch**2
            total += np.bincount(y[on] * shape[1] + x[on], weights, len(total))
    sharp = total.reshape(shape)
    return np.asarray(gaussian_filter(sharp, 0.6 * float(radius.mean()) / pitch), np.float32)
