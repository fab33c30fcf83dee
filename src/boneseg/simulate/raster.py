"""Path lengths of rays inside closed surfaces, from triangles and without a volume.

A ray enters a closed surface through a triangle that faces the source and leaves it through one
that does not. The sum over all triangles at a pixel of (depth where the ray leaves) - (depth where
it enters) is the path length inside, for any shape; for overlapping bones it is the sum of theirs.

    camera = Camera(distance=1000, pitch=0.4, height=512, width=384)
    path, _ = camera.paths(points, triangles)         millimetres, float32 height x width
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Triangles = NDArray[np.intp]
Array = NDArray[np.float32]

_STEPS = 256.0  # subpixel lattice of vertices, which makes edge tests exact
_MOST = 4_000_000  # pixels processed at a time


@dataclass(frozen=True)
class Camera:
    """A point source, and a detector of `height` x `width` pixels at right angles to its axis.

    Points are in mm: x to the right of the image, y down, z from the source to the detector. The
    source is at z = 0; the plane z = `distance` is imaged with `pitch` mm a pixel, and its point
    (0, 0) falls on the middle of the detector.
    """

    distance: float
    pitch: float
    height: int
    width: int

    def outline(self, points: Points, triangles: Triangles, least: float) -> NDArray[np.bool_]:
        """Where more than `least` mm of the ray are inside the surfaces: bool height x width.

        As `paths`, but computed only where the surfaces are.
        """
        mask = np.zeros((self.height, self.width), bool)
        seen = self.project(points)
        edges = np.array([self.width, self.height])
        low = np.clip(np.floor(seen.min(axis=0)) - 1, 0, edges).astype(int)
        high = np.clip(np.ceil(seen.max(axis=0)) + 2, 0, edges).astype(int)
        if (high <= low).any():
            return mask
        # The same rays, as those of a smaller detector whose middle is shifted along with the
        # points: a shear, which keeps depth and therefore the paths along the axis.
        shift = (low + (high - low - 1) / 2 - (edges - 1) / 2) * self.pitch / self.distance
        sheared = points.copy()
        sheared[:, :2] -= np.maximum(points[:, 2:], 1.0) * shift
        small = Camera(self.distance, self.pitch, int(high[1] - low[1]), int(high[0] - low[0]))
        path, _ = small.paths(sheared, triangles)
        mask[low[1] : high[1], low[0] : high[0]] = path > least
        return mask

    def project(self, points: Points) -> Points:
        """float64 N x 3 (mm) to N x 2: columns and rows, in pixels; pixel (0, 0) has centre 0, 0.

        Points at or behind the source are taken to be 1 mm in front of it.
        """
        depth = np.maximum(points[:, 2], 1.0)
        scale = self.distance / (self.pitch * depth)
        column = points[:, 0] * scale + (self.width - 1) / 2
        row = points[:, 1] * scale + (self.height - 1) / 2
        return np.stack([column, row], axis=1)

    def paths(
        self, points: Points, triangles: Triangles, weights: NDArray[np.floating] | None = None
    ) -> tuple[Array, Array]:
        """Return the path length (mm) of each pixel's ray inside the surfaces, plain and weighted.

        points: float64 N x 3; triangles: M x 3 indices, anticlockwise seen from outside; weights:
        M factors of the path length (default: 1). Where the two walls that a ray crosses have the
        same weight, the path between them is multiplied by it. Both results are float32 height x
        width, and >= 0. A pixel where a surface is open (entered but not left) takes the value of
        the nearest pixel where it is closed.
        """
        seen = np.rint(self.project(points) * _STEPS)
        ways = self._sum(seen, points[:, 2], triangles, weights)
        rows = (np.arange(self.height) - (self.height - 1) / 2)[:, None]
        columns = (np.arange(self.width) - (self.width - 1) / 2)[None]
        slant = np.sqrt(1 + (rows**2 + columns**2) * (self.pitch / self.distance) ** 2)
        way, weighted, balance = (one.reshape(self.height, self.width) for one in ways)
        open_ = np.abs(balance) > 0.5
        plain = np.asarray(np.maximum(_filled_in(way, open_) * slant, 0.0), np.float32)
        if weights is None:
            return plain, plain
        return plain, np.asarray(np.maximum(_filled_in(weighted, open_) * slant, 0.0), np.float32)

    def _sum(
        self,
        seen: Points,
        depth: Points,
        triangles: Triangles,
        weights: NDArray[np.floating] | None,
    ) -> tuple[Points, Points, Points]:
        """At each pixel: the signed sum of depths, the same weighted, and exits less entries."""
        size = self.height * self.width
        total, weighted, balance = np.zeros(size), np.zeros(size), np.zeros(size)
        # Depths from the middle of the body: weights of two walls are never quite the same.
        near, middle = np.maximum(depth, 1.0), float(np.median(depth))
        left, right, top, low = _bounds(seen, triangles, self.width, self.height)
        drawn = np.flatnonzero((right >= left) & (low >= top))
        triangles, left, top = triangles[drawn], left[drawn], top[drawn]
        wide, tall = right[drawn] - left + 1, low[drawn] - top + 1
        corners, inverse = seen[triangles], 1.0 / near[triangles]
        area = _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        # Triangles of like size are covered together, each by the smallest block of 2^n x 2^m.
        kinds = _power(wide) * 32 + _power(tall)
        kinds[area == 0] = -1
        order = np.argsort(kinds, kind="stable")
        changes = np.flatnonzero(np.diff(kinds[order])) + 1
        for start, end in pairwise([0, *changes.tolist(), len(order)]):
            kind = int(kinds[order[start]]) if end > start else -1
            if kind < 0:
                continue
            block = (2 ** (kind % 32), 2 ** (kind // 32))
            for part in np.array_split(
                order[start:end], max(1, (end - start) * block[0] * block[1] // _MOST)
            ):
                where, depths, sign, owner = _cover(
                    corners[part], area[part], inverse[part],
                    (left[part], top[part]), (wide[part], tall[part]), block, self.width,
                )  # fmt: skip
                way = sign * (depths - middle)
                total += np.bincount(where, way, size)
                balance += np.bincount(where, sign, size)
                if weights is not None:
                    weighted += np.bincount(where, way * weights[drawn[part]][owner], size)
        return total, weighted, balance


def _bounds(
    seen: Points, triangles: Triangles, width: int, height: int
) -> tuple[NDArray[np.intp], ...]:
    """First and last column, first and last row of pixel centres in each triangle's box."""
    found = []
    for axis, size in ((0, width), (1, height)):
        a, b, c = (seen[triangles[:, i], axis] for i in range(3))
        first = np.ceil(np.minimum(np.minimum(a, b), c) / _STEPS)
        last = np.floor(np.maximum(np.maximum(a, b), c) / _STEPS)
        found += [np.maximum(first, 0).astype(np.intp), np.minimum(last, size - 1).astype(np.intp)]
    return tuple(found)


def _power(lengths: NDArray[np.intp]) -> NDArray[np.intp]:
    """The exponent of the smallest power of two that is at least as much."""
    return np.ceil(np.log2(lengths)).astype(np.intp)


def _cross(u: Points, v: Points) -> Points:
    return np.asarray(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0])


def _cover(
    corners: Points,
    area: Points,
    inverse: Points,
    first: tuple[NDArray[np.intp], NDArray[np.intp]],
    spans: tuple[NDArray[np.intp], NDArray[np.intp]],
    block: tuple[int, int],
    width: int,
) -> tuple[NDArray[np.intp], Points, Points, NDArray[np.intp]]:
    """The pixels whose centres lie in each triangle: flat index, depth, sign, triangle.

    `first` (column, row), `spans` (columns, rows) and `block` (rows, columns) say where to look.
    The sign is +1 where the ray leaves. A centre on an edge belongs to one of its two triangles
    (the top-left rule), so that a closed surface is left exactly as often as it is entered.
    """
    rows, columns = np.arange(block[0])[:, None], np.arange(block[1])[None]
    x = (first[0][:, None, None] + columns[None]) * _STEPS
    y = (first[1][:, None, None] + rows[None]) * _STEPS
    inside = (rows < spans[1][:, None, None]) & (columns < spans[0][:, None, None])
    facing = np.sign(area)
    value = np.zeros(inside.shape)
    for i in range(3):
        start, end = corners[:, (i + 1) % 3], corners[:, (i + 2) % 3]
        step = (end - start) * facing[:, None]
        down = step[:, 0, None, None] * (y - start[:, 1, None, None])
        edge = down - step[:, 1, None, None] * (x - start[:, 0, None, None])
        top_left = (step[:, 1] < 0) | ((step[:, 1] == 0) & (step[:, 0] > 0))
        inside &= edge >= np.where(top_left, 0.0, 0.5)[:, None, None]
        value += edge * inverse[:, i, None, None]
    owner, row, column = np.nonzero(inside)
    # 1 / z is linear over the image of a plane. As y points down, a face that looks at the source
    # is clockwise in these coordinates: its area is negative, and the ray enters there.
    depths = np.abs(area)[owner] / value[owner, row, column]
    where = (first[1][owner] + row) * width + first[0][owner] + column
    return where, depths, facing[owner], owner


def _filled_in(way: Points, open_: NDArray[np.bool_]) -> Points:
    if not open_.any() or open_.all():
        return np.where(open_, 0.0, way)
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(open_, return_distances=False, return_indices=True)
    return np.asarray(way[tuple(nearest)])
