"""The flesh around bones: muscle under fat and skin, grown from where the bones are on the film.

Bones are few landmarks; what surrounds them is drawn from their distance. Around each body of the
skeleton flesh reaches so far beyond the bone and is so deep (`REACH`), bodies join smoothly, the
skin bulges and folds, and lungs and gas take their share of a trunk. It is worked out on a coarse
grid, for flesh has no fine edges but those that `texture` draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boneseg.simulate.projector import enlarged
from boneseg.simulate.raster import Array, Camera
from boneseg.simulate.subject import Rng, Subject

Floats = NDArray[np.float64]

# Bodies by the start of their names: how far flesh reaches beyond bone, from, to, and half its
# depth, mm; then the share of both that is left from the joint nearest the trunk to the farthest.
REACH: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, ...]]] = {
    "trunk": ((15, 60), (75, 140), (1.0,)),
    "head": ((6, 20), (60, 85), (1.0,)),
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
) -> Flesh:
    """The flesh of a subject's bones.

    `seen` are the bones' points on the film, N x 2 (column, row), and `belly` is where it has its
    middle, if it is there.
    """
    shape = (camera.height // _COARSE + 1, camera.width // _COARSE + 1)
    pitch = camera.pitch * _COARSE / subject.size  # adult mm a cell, at the detector
    skin, lean, air = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    leanness, build = float(rng.uniform(0.5, 0.95)), float(rng.normal(0.45, 0.25))
    for group, (points, along) in _groups(subject, seen).items():
        outer, inner = _layers(rng, group, points, along, shape, pitch, leanness, build)
        skin += outer**4
        lean += inner**4
        if group == "trunk":
            inner = inner * (1 + 0.15 * _smooth(rng, shape, 60 / pitch))
            breath = _lungs(rng, subject, seen, shape)
            if belly is not None:
                breath = 1 - (1 - breath) * (1 - _gas(rng, belly, shape, pitch))
            air = breath * inner**4
    share = np.clip(air / np.maximum(lean, 1e-9), 0, 1)
    skin, lean = skin**0.25, lean**0.25
    fat = np.maximum(skin - lean, 0) * subject.size
    strands = float(rng.uniform(0, 0.045)) * _strands(rng, shape)
    muscle = np.maximum(np.minimum(lean, skin) * (1 - share) * (1 + strands), 0) * subject.size
    return Flesh(_fine(muscle, camera), _fine(fat, camera))


def _groups(subject: Subject, seen: Sequence[Floats]) -> dict[str, tuple[Floats, Floats]]:
    """Points on the coarse grid, and their distance (mm) from where their body hangs, by group."""
    groups: dict[str, list[tuple[Floats, Floats]]] = {}
    for part, points in zip(subject.parts, seen, strict=True):
        head = "skull" in part.name or "jaw" in part.name
        group = "head" if head else "trunk" if part.body.startswith(_TRUNK) else part.body
        along = np.linalg.norm(part.outer - subject.places[part.body][:3, 3], axis=1)
        # Corners of long triangles are far apart: the middles of their sides lie between.
        sides = np.concatenate([part.triangles[:, :2], part.triangles[:, 1:]])
        points = np.concatenate([points, points[sides].mean(axis=1)])
        along = np.concatenate([along, along[sides].mean(axis=1)])
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
) -> tuple[Floats, Floats]:
    """The way (adult mm) within the skin, and within the fat under it, of one group of bones."""
    (near, far), (shallow, deep), profile = _kind(group)
    share = float(np.clip(build + rng.normal(0, 0.1), 0, 1.2))
    reach, depth = near + share * (far - near), shallow + share * (deep - shallow)
    stages = np.linspace(0, max(float(along.max()), 1e-6), len(profile))
    tapered = np.interp(along, stages, profile)
    cells, left = _distance(points, tapered, shape, 1.3 * reach / pitch)
    away = cells * pitch
    if group == "trunk":  # one hull: between the ribs, and from them to the hips, is inside
        away = _closed(away, 210.0, pitch)
    bulge = 1 + float(rng.uniform(0, 0.2)) * _smooth(rng, shape, max(50.0, 2 * reach) / pitch)
    away, depths = away / np.clip(bulge * left, 0.2, 3), depth * left
    fat = (1 - leanness) * reach
    return _arch(away, reach, depths), _arch(away, reach - fat, depths - 0.7 * fat)


def _kind(group: str) -> tuple[tuple[float, float], tuple[float, float], tuple[float, ...]]:
    return next((REACH[name] for name in REACH if group.startswith(name)), _OTHER)


def _distance(
    points: Floats, values: Floats, shape: tuple[int, int], most: float
) -> tuple[Floats, Floats]:
    """The distance of each cell to the nearest point, in cells, and that point's value, smoothed.

    Points beyond the film count as far as `most` cells away.
    """
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    margin = min(int(most) + 2, 2 * max(shape))
    at = np.rint(points).astype(np.intp)[:, ::-1] + margin
    big = (shape[0] + 2 * margin, shape[1] + 2 * margin)
    inside = ((at >= 0) & (at < big)).all(axis=1)
    grid = np.full(big, np.nan)
    grid[at[inside, 0], at[inside, 1]] = values[inside]
    empty = np.isnan(grid)
    if empty.all():
        return np.full(shape, 1e6), np.ones(shape)
    away, nearest = distance_transform_edt(empty, return_indices=True)
    left = gaussian_filter(grid[tuple(nearest)], max(1.0, most / 6))
    window = np.s_[margin : margin + shape[0], margin : margin + shape[1]]
    return np.asarray(away[window]), np.asarray(left[window])


def _closed(away: Floats, gap: float, pitch: float) -> Floats:
    """Distances (mm) from a body whose gaps narrower than `gap` are filled."""
    from scipy.ndimage import distance_transform_edt

    wide = away > gap / 2
    if not wide.any():
        return np.zeros_like(away)
    back = distance_transform_edt(~wide) * pitch  # to where the gap is as wide as that
    return np.asarray(np.where(wide, away, np.maximum(gap / 2 - back, 0)))


def _arch(away: Floats, reach: float, depth: Floats) -> Floats:
    """The chord of an ellipse of half-depth `depth` whose edge is `reach` from the bone."""
    if reach <= 0:
        return np.zeros_like(away)
    depth = np.maximum(depth, 0)
    return np.asarray(2 * depth * np.sqrt(np.maximum(1 - np.minimum(away / reach, 1) ** 2, 0)))


def _smooth(rng: Rng, shape: tuple[int, int], sigma: float) -> Floats:
    """Smooth noise of about unit variance and of about `sigma` cells."""
    cells = max(2.0, sigma)
    coarse = rng.normal(size=(int(shape[0] / cells) + 4, int(shape[1] / cells) + 4))
    big = (int(coarse.shape[0] * cells), int(coarse.shape[1] * cells))
    fine = enlarged(np.asarray(coarse, np.float32), big)
    top, left = int(rng.uniform(0, cells)), int(rng.uniform(0, cells))
    return np.asarray(fine[top : top + shape[0], left : left + shape[1]] / 0.75, np.float64)


def _strands(rng: Rng, shape: tuple[int, int]) -> Floats:
    """Muscle bundles, folds and vessels: ridges where noise of several sizes crosses nought."""
    total = np.zeros(shape)
    for cells in (4.0, 9.0, 20.0):
        noise = _smooth(rng, shape, cells)
        if rng.random() < 0.25:
            noise = 1 - 2 * np.abs(noise)
        total += noise * float(rng.uniform(0.2, 1.0))
    return total


def _gas(rng: Rng, belly: tuple[float, float], shape: tuple[int, int], pitch: float) -> Floats:
    """The share of the way that bowel gas takes: blobs of 10 to 60 mm in the belly, or none."""
    amount = float(rng.choice([0.0, rng.uniform(0.1, 0.5)]))
    if not amount:
        return np.zeros(shape)
    y, x = np.indices(shape, dtype=float)
    away = np.hypot(x - belly[0] / _COARSE, y - belly[1] / _COARSE) * pitch / 170
    blobs = _smooth(rng, shape, float(rng.uniform(12, 30)) / pitch)
    edge = float(rng.uniform(2, 6))
    return np.asarray(amount * np.exp(-(away**4)) / (1 + np.exp(-edge * (blobs - 0.9))))


def _lungs(rng: Rng, subject: Subject, seen: Sequence[Floats], shape: tuple[int, int]) -> Floats:
    """The share of the way that is air: within the ribs, beside the heart, above the diaphragm."""
    from scipy.ndimage import gaussian_filter

    ribs = [p for part, p in zip(subject.parts, seen, strict=True) if "rib" in part.name]
    spine = [p for part, p in zip(subject.parts, seen, strict=True) if "spine" in part.name]
    if not ribs or not spine:
        return np.zeros(shape)
    cage, back = np.concatenate(ribs) / _COARSE, np.concatenate(spine) / _COARSE
    low, high = np.percentile(cage, 2, axis=0), np.percentile(cage, 98, axis=0)
    centre, half = (low + high) / 2, np.maximum((high - low) / 2, 1)
    y, x = np.indices(shape, dtype=float)
    u, v = (x - centre[0]) / half[0], (y - centre[1]) / half[1]
    dome = float(rng.uniform(0.05, 0.45)) + 0.35 * np.abs(np.abs(u) - 0.5) ** 1.5
    inside = (np.abs(u) ** 2.4 + np.abs(np.minimum(v, 0)) ** 2.2 < 0.84) & (v < dome)
    middle = (np.median(back[:, 0]) - centre[0]) / half[0]
    width = float(rng.uniform(0.14, 0.26))
    heart = (u - middle - 0.16) ** 2 / 0.11 + (v - 0.2) ** 2 / 0.16 < float(rng.uniform(0.6, 1.2))
    air = inside & (np.abs(u - middle) > width) & ~heart
    share = gaussian_filter(air.astype(float), 1.6) * float(rng.uniform(0.45, 0.8))
    return np.asarray(share * (1 - 0.12 * np.abs(_strands(rng, shape))))


def _fine(coarse: Floats, camera: Camera) -> Array:
    size = (coarse.shape[0] * _COARSE, coarse.shape[1] * _COARSE)
    fine = enlarged(np.asarray(coarse, np.float32), size)
    return np.ascontiguousarray(np.maximum(fine[: camera.height, : camera.width], 0))
