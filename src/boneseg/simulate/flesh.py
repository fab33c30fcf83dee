"""Soft tissue around bones: muscle, fat and skin, modelled from the bones on the film.

Soft tissue is modelled from the distance to the bones. Each body of the skeleton has its own extent
beyond the bone and depth (`REACH`); bodies join smoothly, the skin bulges and folds, and a trunk
has lungs and gas. It is computed on a coarse grid, and only the skin on the fine one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from boneseg.simulate.projector import enlarged
from boneseg.simulate.raster import Array, Camera
from boneseg.simulate.subject import Rng, Subject

Floats = NDArray[np.float64]

# Bodies by name prefix: minimum and maximum extent beyond bone and half depth, mm; then the
# fraction of both that is left from the proximal to the distal joint.
REACH: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, ...]]] = {
    "trunk": ((15, 60), (75, 140), (1.0,)),
    "head": ((6, 40), (60, 85), (1.0,)),
    "femur": ((40, 85), (50, 90), (1.15, 1.0, 0.8, 0.55)),
    "patella": ((10, 25), (40, 60), (1.0,)),
    "tibia": ((22, 48), (38, 62), (0.8, 1.0, 0.75, 0.5, 0.4)),
    "fibula": ((22, 48), (38, 62), (0.8, 1.0, 0.75, 0.5, 0.4)),
    "talus": ((10, 20), (22, 36), (1.0,)),
    "calcn": ((6, 14), (16, 34), (1.0, 0.7)),
    "toes": ((4, 8), (8, 13), (1.0, 0.8)),
    "humerus": ((22, 50), (34, 60), (1.1, 1.0, 0.75)),
    "ulna": ((14, 28), (20, 34), (1.1, 1.0, 0.6)),
    "radius": ((12, 26), (18, 32), (1.1, 1.0, 0.6)),
    "hand": ((4, 9), (9, 15), (1.2, 1.0, 0.7)),
}
_OTHER = ((4, 8), (7, 12), (1.0,))  # bones of the hand that are bodies of their own
_TRUNK = ("pelvis", "torso")
_BETWEEN = 3  # points on a side of a triangle
_COARSE = 4  # pixels of the film on a side of the grid's


@dataclass(frozen=True)
class Flesh:
    """Millimetres of muscle and of fat at each pixel, float32 H x W."""

    muscle: Array
    fat: Array


def grow_flesh(
    rng: Rng,
    subject: Subject,
    seen: Sequence[Floats],
    camera: Camera,
    belly: tuple[float, float] | None = None,
    trunk: tuple[Array, Array, Array] | None = None,
) -> Flesh:
    """The flesh of a subject's bones.

    `seen` are the bones' points on the film, N x 2 (column, row), and `belly` is the centre of the
    abdomen, if visible. `trunk`, the paths (mm, H x W) through body, muscle and fat of trunk and
    head, replaces what would be modelled from their bones.
    """
    shape = (camera.height // _COARSE + 1, camera.width // _COARSE + 1)
    pitch = camera.pitch * _COARSE / subject.size  # adult mm a cell, at the detector
    skin, lean, air = (np.zeros((camera.height, camera.width), np.float32) for _ in range(3))
    leanness, build = float(rng.uniform(0.5, 0.95)), float(rng.normal(0.45, 0.25))
    if trunk is not None:
        body, muscle, fat = (one / np.float32(subject.size) for one in trunk)
        skin += body**4
        lean += np.maximum(body - fat, 0) ** 4
        air += np.clip(1 - muscle / np.maximum(body - fat, 1e-3), 0, 1) * lean
    for group, (points, along) in _groups(subject, seen).items():
        if trunk is not None and group in ("trunk", "head"):
            continue
        layers = _layers(rng, group, points, along, shape, pitch, leanness, build)
        if group == "trunk":
            layers = replace(layers, depth=layers.depth * rounded(rng, points, shape))
        outer, inner = layers.soft(camera, 10 / pitch) if group == "trunk" else layers.sharp(camera)
        skin += outer**4
        lean += inner**4
        if group == "trunk":
            inner = inner * _fine(1 + 0.15 * _smooth(rng, shape, 60 / pitch), camera)
            breath = _lungs(rng, subject, seen, shape)
            if belly is not None:
                breath = 1 - (1 - breath) * (1 - bowel_gas(rng, belly, shape, pitch))
            air = _fine(breath, camera) * inner**4
    share = np.clip(air / np.maximum(lean, 1e-9), 0, 1)
    skin, lean = skin**0.25, lean**0.25
    fat = np.maximum(skin - lean, 0) * np.float32(subject.size)
    texture = float(rng.uniform(0, 0.045)) * _strands(rng, shape) + _folds(rng, shape, pitch)
    strands = _fine(1 + texture, camera)
    muscle = np.minimum(lean, skin) * (1 - share) * strands * np.float32(subject.size)
    return Flesh(np.maximum(muscle, 0), fat)


@dataclass(frozen=True)
class _Layers:
    """Soft tissue around one group of bones, on the coarse grid, in adult mm."""

    away: Floats  # from the bone
    depth: Floats  # half of it, at the bone
    reach: float  # from the bone to the skin
    fat: float  # how thick it is under the skin

    def sharp(self, camera: Camera) -> tuple[Array, Array]:
        """Path lengths within skin and fat, with the edge drawn at full resolution."""
        away, depth = _fine(self.away, camera), _fine(self.depth, camera)
        return self._ways(away, depth)

    def soft(self, camera: Camera, cells: float) -> tuple[Array, Array]:
        """Blend smoothly into the neighbouring group."""
        from scipy.ndimage import gaussian_filter

        outer, inner = self._ways(self.away, self.depth)
        return (
            _fine(gaussian_filter(outer, cells), camera),
            _fine(gaussian_filter(inner, cells), camera),
        )

    def _ways(self, away: Floats | Array, depth: Floats | Array) -> tuple[Array, Array]:
        lean = depth - np.float32(0.7 * self.fat)
        return _arch(away, self.reach, depth), _arch(away, self.reach - self.fat, lean)


def _groups(subject: Subject, seen: Sequence[Floats]) -> dict[str, tuple[Floats, Floats]]:
    """Points on the coarse grid, and their mm from the proximal joint of their body, by group."""
    groups: dict[str, list[tuple[Floats, Floats]]] = {}
    for part, points in zip(subject.parts, seen, strict=True):
        head = "skull" in part.name or "jaw" in part.name
        group = "head" if head else "trunk" if part.body.startswith(_TRUNK) else part.body
        along = np.linalg.norm(part.outer - subject.places[part.body][:3, 3], axis=1)
        # Vertices of long triangles are far apart: points on their edges are added.
        first, second = np.concatenate([part.triangles[:, :2], part.triangles[:, 1:]]).T
        shares = np.linspace(0, 1, _BETWEEN, endpoint=False)
        points = np.concatenate([points[first] * (1 - t) + points[second] * t for t in shares])
        along = np.concatenate([along[first] * (1 - t) + along[second] * t for t in shares])
        groups.setdefault(group, []).append((points / _COARSE, along))
    return {
        group: (np.concatenate([p for p, _ in members]), np.concatenate([a for _, a in members]))
        for group, members in groups.items()
    }


def _layers(
    rng: Rng,
    group: str,
    points: Floats,
    along: Floats,
    shape: tuple[int, int],
    pitch: float,
    leanness: float,
    build: float,
) -> _Layers:
    """The soft tissue around one group of bones."""
    (near, far), (shallow, deep), profile = _kind(group)
    share = float(np.clip(build + rng.normal(0, 0.1), 0, 1.2))
    reach, depth = near + share * (far - near), shallow + share * (deep - shallow)
    stages = np.linspace(0, max(float(along.max()), 1e-6), len(profile))
    tapered = np.interp(along, stages, profile)
    cells, left = _distance(points, tapered, shape, 1.3 * reach / pitch)
    away = cells * pitch
    if group == "trunk":  # one hull: between the ribs, and from them to the hips, is inside
        away = _closed(away, 210.0, pitch)
    most = 0.35 if group == "head" else 0.12  # nose and chin stand out
    bulge = 1 + float(rng.uniform(0, most)) * _smooth(rng, shape, max(110.0, 3 * reach) / pitch)
    away, depths = away / np.clip(bulge * left, 0.2, 3), depth * left
    return _Layers(away, depths, reach, (1 - leanness) * reach)


def _kind(group: str) -> tuple[tuple[float, float], tuple[float, float], tuple[float, ...]]:
    return next((REACH[name] for name in REACH if group.startswith(name)), _OTHER)


def _distance(
    points: Floats, values: Floats, shape: tuple[int, int], most: float
) -> tuple[Floats, Floats]:
    """The distance of each cell to the nearest point, in cells, and that point's value, smoothed.

    Points up to `most` cells beyond the film count. Points closer than a third of a cell are
    merged.
    """
    from scipy.ndimage import gaussian_filter
    from scipy.spatial import cKDTree

    inside = ((points > -most) & (points < np.array(shape[::-1]) + most)).all(axis=1)
    if not inside.any():
        return np.full(shape, 1e6), np.ones(shape)
    points, values = points[inside], values[inside]
    thirds = np.rint(points * 3).astype(np.int64)
    _, some = np.unique(thirds[:, 1] * 2**32 + thirds[:, 0], return_index=True)
    row, column = np.indices(shape)
    cells = np.stack([column, row], axis=-1).astype(float)
    away, nearest = cKDTree(points[some]).query(cells)
    left = gaussian_filter(values[some][nearest], max(1.0, most / 6))
    return np.asarray(away), np.asarray(left)


def _closed(away: Floats, gap: float, pitch: float) -> Floats:
    """Distances (mm) from a body whose gaps narrower than `gap` are filled."""
    from scipy.ndimage import distance_transform_edt

    wide = away > gap / 2
    if not wide.any():
        return np.zeros_like(away)
    back = distance_transform_edt(~wide) * pitch  # to where the gap is as wide as that
    return np.asarray(np.where(wide, away, np.maximum(gap / 2 - back, 0)))


def _arch(away: Floats | Array, reach: float, depth: Floats | Array) -> Array:
    """The chord of an ellipse of half-depth `depth` whose edge is `reach` from the bone."""
    if reach <= 0:
        return np.zeros(away.shape, np.float32)
    inside = np.maximum(1 - np.square(np.clip(away / reach, 0, 1)), 0)
    return np.asarray(2 * np.maximum(depth, 0) * np.sqrt(inside), np.float32)


def _smooth(rng: Rng, shape: tuple[int, int], sigma: float) -> Floats:
    """Smooth noise of about unit variance and `sigma` cells."""
    from scipy.ndimage import gaussian_filter

    cells = max(2.0, sigma)
    coarse = rng.normal(size=(int(shape[0] / cells) + 4, int(shape[1] / cells) + 4))
    big = (int(coarse.shape[0] * cells), int(coarse.shape[1] * cells))
    knots = min(cells, 4.0)  # of each cell: as smooth as pixels are, and far fewer
    some = (int(coarse.shape[0] * knots), int(coarse.shape[1] * knots))
    blurred = gaussian_filter(enlarged(np.asarray(coarse, np.float32), some), 0.4 * knots)
    fine = enlarged(blurred, big)  # hides the coarse grid
    top, left = int(rng.uniform(0, cells)), int(rng.uniform(0, cells))
    return np.asarray(fine[top : top + shape[0], left : left + shape[1]] / 0.57, np.float64)


def _strands(rng: Rng, shape: tuple[int, int]) -> Floats:
    """Muscle bundles, folds and vessels: ridges at the zero crossings of multi-scale noise."""
    total = np.zeros(shape)
    for cells in (4.0, 9.0, 20.0):
        noise = _smooth(rng, shape, cells)
        if rng.random() < 0.25:
            noise = 1 - 2 * np.abs(noise)
        total += noise * float(rng.uniform(0.2, 1.0))
    return total


def rounded(rng: Rng, points: Floats, shape: tuple[int, int]) -> Floats:
    """The fraction of a trunk's depth left beside its midline: a round or a flat section.

    The midline runs through the bones; the skin is beyond the widest of them.
    """
    middle = points.mean(axis=0)
    _, spread, axes = np.linalg.svd((points - middle)[:: max(1, len(points) // 2000)], False)
    along = axes[0] if spread[0] > 1.3 * spread[1] else np.array([0.0, 1.0])
    across = np.array([-along[1], along[0]])
    widest = float(np.percentile(np.abs((points - middle) @ across), 98))
    row, column = np.indices(shape, dtype=float)
    away = np.abs((column - middle[0]) * across[0] + (row - middle[1]) * across[1])
    share = np.clip(away / (widest * float(rng.uniform(1.05, 1.8))), 0, 0.97)
    round_one = np.sqrt(1 - share ** float(rng.uniform(1.6, 3.0)))
    return np.asarray(1 + float(rng.choice([0.0, rng.uniform(0.3, 1.0)])) * (round_one - 1))


def _folds(rng: Rng, shape: tuple[int, int], pitch: float) -> Floats:
    """Skin folds and muscle edges: lines along which soft tissue is thicker.

    One or two on every fourth film, as a fraction of the thickness.
    """
    total = np.zeros(shape)
    if rng.random() < 0.75:
        return total
    for _ in range(int(rng.integers(1, 3))):
        field = _smooth(rng, shape, float(rng.uniform(35, 120)) / pitch)
        at = field - float(rng.normal(0, 0.6))
        rise, fall = float(rng.uniform(0.01, 0.12)), float(rng.uniform(0.15, 1.0))
        edge = np.exp(-np.maximum(at, 0) / fall) / (1 + np.exp(-np.clip(at / rise, -50, 50)))
        total += float(rng.uniform(0.02, 0.12)) * edge
    return total


def bowel_gas(rng: Rng, belly: tuple[float, float], shape: tuple[int, int], pitch: float) -> Floats:
    """The fraction of the path that is bowel gas: loops or froth in the abdomen, or none.

    Loops of 10 to 60 mm have walls; froth (stool) has bubbles of a few mm within a region.
    """
    if rng.random() < 0.4:
        return np.zeros(shape)
    y, x = np.indices(shape, dtype=float)
    away = np.hypot(x - belly[0] / _COARSE, y - belly[1] / _COARSE) * pitch
    total = np.zeros(shape)
    for kind in rng.permutation(["loops", "froth"])[: int(rng.integers(1, 3))]:
        amount, edge = float(rng.uniform(0.1, 0.6)), float(rng.uniform(2, 9))
        near = np.exp(-((away / float(rng.uniform(60, 170))) ** 4))
        blobs = _smooth(rng, shape, float(rng.uniform(10, 32)) / pitch)
        where = 1 / (1 + np.exp(-edge * (blobs - float(rng.uniform(0.2, 0.9)))))
        if kind == "froth":
            bubbles = _smooth(rng, shape, float(rng.uniform(2.5, 8)) / pitch)
            where = where / (1 + np.exp(-3 * (bubbles - float(rng.uniform(-0.3, 0.6)))))
        total = np.maximum(total, amount * near * where)
    return total


def _lungs(rng: Rng, subject: Subject, seen: Sequence[Floats], shape: tuple[int, int]) -> Floats:
    """The fraction of the path that is lung: in the ribs, beside the heart, above the diaphragm."""
    from scipy.ndimage import gaussian_filter

    ribs = [p for part, p in zip(subject.parts, seen, strict=True) if "rib" in part.name]
    spine = [p for part, p in zip(subject.parts, seen, strict=True) if "spine" in part.name]
    if not ribs or not spine:
        return np.zeros(shape)
    cage, back = np.concatenate(ribs) / _COARSE, np.concatenate(spine) / _COARSE
    low, high = np.percentile(cage, 1, axis=0), np.percentile(cage, 99, axis=0)
    centre, half = (low + high) / 2, np.maximum((high - low) / 2, 1)
    y, x = np.indices(shape, dtype=float)
    u, v = (x - centre[0]) / half[0], (y - centre[1]) / half[1]  # -1 to 1 within the cage
    floor, wide = float(rng.uniform(0.25, 0.62)), float(rng.uniform(0.88, 0.98))
    above = np.clip((0.5 - v) / 1.47, 0, 1)  # of the base: 0, of the apex: 1
    inside = np.abs(u) < wide * (1 - above**2.6) ** 0.45
    inside &= v < floor + 0.9 * (np.abs(u) - 0.45) ** 2 - 0.04 * np.sign(u)
    middle = (np.median(back[:, 0]) - centre[0]) / half[0]
    frontal = abs(middle) < 0.35
    at = middle + 0.14 if frontal else -0.4 * np.sign(middle)
    size = float(rng.uniform(0.35, 1.1))
    heart = ((u - at) / 0.33) ** 2 + ((v - floor + 0.14) / 0.4) ** 2 < size
    if frontal:
        ragged = float(rng.uniform(0.07, 0.16)) + 0.03 * _smooth(rng, shape, 0.2 * float(half[1]))
        heart |= np.abs(u - middle) < ragged
    share = gaussian_filter((inside & ~heart).astype(float), 1.2) * float(rng.uniform(0.6, 0.92))
    hila = np.exp(-np.square((np.abs(u - middle) - 0.22) / 0.15) - np.square((v + 0.1) / 0.4))
    vessels = np.abs(_strands(rng, shape)) * (0.04 + 0.1 * hila)
    if rng.random() < 0.2:  # opacities of disease
        cloud = _smooth(rng, shape, float(rng.uniform(0.1, 0.4)) * float(half[0]))
        vessels += float(rng.uniform(0.1, 0.7)) * np.clip(cloud - 0.5, 0, 1)
    return np.asarray(share * np.clip(1 - vessels, 0, 1))


def _fine(coarse: Floats, camera: Camera) -> Array:
    size = (coarse.shape[0] * _COARSE, coarse.shape[1] * _COARSE)
    fine = enlarged(np.asarray(coarse, np.float32), size)
    return np.ascontiguousarray(fine[: camera.height, : camera.width])
