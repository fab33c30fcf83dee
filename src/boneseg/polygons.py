"""A mask as polygons, and polygons as a mask.

    for outline in outlines(mask, tolerance=0.5):
        outline.outer, outline.holes              # float64, N x 2: (x, y) in pixels
    mask == fill(rings(outlines(mask)), mask.shape)

Coordinates are those of all annotation tools: x to the right and y down from the corner of the
film, so that the pixel in row r and column c covers c to c + 1 and r to r + 1. A pixel belongs to a
polygon where its centre does; rings that lie in one another alternate (even-odd rule), so a ring in
a ring is a hole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 0.35  # px; the most that costs no pixel, see `outlines`

Ring = NDArray[np.float64]  # N x 2, (x, y); the last point is joined to the first


@dataclass(frozen=True)
class Outline:
    """One piece of bone: the ring around it, and those around its holes."""

    outer: Ring
    holes: tuple[Ring, ...] = ()

    @property
    def rings(self) -> tuple[Ring, ...]:
        return (self.outer, *self.holes)


def outlines(mask: NDArray[np.bool_], tolerance: float = TOLERANCE) -> list[Outline]:
    """The outlines of a mask (bool, H x W), from top to bottom.

    They run half-way between the centres of pixels inside and outside, and have only as many points
    as it takes to stay within `tolerance` px of that line (Douglas and Peucker, 1973). Up to 0.35,
    the least distance of that line from any centre, `fill` gives back the mask as it was.
    """
    import contourpy

    if not mask.any():
        return []
    values = np.pad(mask, 1).astype(np.float32)  # so that bone at the border is closed, too
    filled: Any = contourpy.contour_generator(z=values, fill_type="OuterOffset").filled(0.5, np.inf)
    points, offsets = filled
    found = []
    for line, ends in zip(points, offsets, strict=True):
        # centres of pixels lie at whole numbers there, shifted by one for the padding
        parts = [
            simplified(line[start : stop - 1] - 0.5, tolerance) for start, stop in pairwise(ends)
        ]
        found.append(Outline(parts[0], tuple(parts[1:])))
    return sorted(found, key=lambda outline: tuple(outline.outer.min(axis=0)[::-1]))


def rings(pieces: Iterable[Outline]) -> list[Ring]:
    """All rings of some outlines, as `fill` takes them."""
    return [ring for piece in pieces for ring in piece.rings]


def fill(shapes: Sequence[Ring], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Bool, H x W: the pixels whose centres lie in an odd number of rings.

    A centre on an edge belongs to what lies to the right of it, or below it. What lies outside the
    film is cut off.
    """
    height, width = shape
    crossed = np.zeros((height, width + 1), np.uint8)  # of edges between a pixel and its left one
    for ring in shapes:
        rows, columns = _crossings(np.asarray(ring, np.float64), height, width)
        np.bitwise_xor.at(crossed, (rows, columns), 1)
    inside: NDArray[np.bool_] = np.bitwise_xor.accumulate(crossed[:, :width], axis=1).astype(bool)
    return inside


def keyhole(outline: Outline) -> Ring:
    """One ring for a piece with holes, for formats that know no holes.

    Each hole hangs on the ring by a cut without width, gone along twice: it encloses nothing, and
    `fill` finds the same pixels. Programs that paint the edge of a polygon, too, paint the cut.
    """
    ring = outline.outer
    for hole in outline.holes:
        start, entry = _nearest(ring, hole)
        loop = np.concatenate([hole[entry:], hole[: entry + 1]])
        ring = np.concatenate([ring[: start + 1], loop, ring[start:]])
    return ring


def simplified(ring: Ring, tolerance: float) -> Ring:
    """The ring without the points that lie within `tolerance` of the line through the others."""
    if len(ring) <= 4 or tolerance <= 0:
        return ring
    start = int(np.lexsort(ring.T[::-1])[0])  # a corner of the hull, whatever point comes first
    ring = np.roll(ring, -start, axis=0)
    far = int(((ring - ring[0]) ** 2).sum(axis=1).argmax())
    closed = np.concatenate([ring, ring[:1]])
    keep = np.zeros(len(closed), bool)
    keep[[0, far, -1]] = True
    waiting = [(0, far), (far, len(ring))]
    while waiting:
        first, last = waiting.pop()
        if last - first < 2:
            continue
        distances = _distances(closed[first + 1 : last], closed[first], closed[last])
        worst = int(distances.argmax())
        if distances[worst] > tolerance:
            middle = first + 1 + worst
            keep[middle] = True
            waiting += [(first, middle), (middle, last)]
    kept: Ring = ring[keep[:-1]]
    return kept if len(kept) >= 3 else ring


def ellipse(
    x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0.0, points: int = 180
) -> Ring:
    """An ellipse around (x, y), turned clockwise as seen on the film."""
    angles, turn = np.linspace(0, 2 * np.pi, points, endpoint=False), np.radians(degrees)
    across, down = radius_x * np.cos(angles), radius_y * np.sin(angles)
    return np.stack(
        [
            x + across * np.cos(turn) - down * np.sin(turn),
            y + across * np.sin(turn) + down * np.cos(turn),
        ],
        axis=1,
    )


def area(ring: Ring) -> float:
    """The area that a ring encloses, in square pixels (the shoelace formula)."""
    x, y = ring.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _crossings(ring: Ring, height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where edges cross the centre lines of rows: the row, and the first column to the right."""
    ends = np.stack([ring, np.roll(ring, -1, axis=0)], axis=1)
    downwards = ends[:, 0, 1] <= ends[:, 1, 1]  # so that an edge gone back along cancels exactly
    top = np.where(downwards[:, None], ends[:, 0], ends[:, 1])
    bottom = np.where(downwards[:, None], ends[:, 1], ends[:, 0])
    first = np.clip(np.ceil(top[:, 1] - 0.5), 0, height).astype(np.int64)
    last = np.clip(np.ceil(bottom[:, 1] - 0.5), 0, height).astype(np.int64)
    counts = last - first
    edge = np.repeat(np.arange(len(ring)), counts)
    rows = np.arange(len(edge)) - np.repeat(counts.cumsum() - counts, counts) + first[edge]
    run = bottom[edge] - top[edge]
    at = top[edge, 0] + (rows + 0.5 - top[edge, 1]) * run[:, 0] / run[:, 1]
    return rows, np.clip(np.ceil(at - 0.5), 0, width).astype(np.int64)


def _nearest(ring: Ring, hole: Ring) -> tuple[int, int]:
    """The points of two rings that are nearest to one another."""
    from scipy.spatial import cKDTree

    distances, starts = cKDTree(ring).query(hole)
    entry = int(distances.argmin())
    return int(starts[entry]), entry


def _distances(points: Ring, start: NDArray[np.float64], stop: NDArray[np.float64]) -> Ring:
    """The distance of points from the stretch between two others."""
    along = stop - start
    length = float(along @ along)
    if length == 0:
        return np.asarray(np.hypot(*(points - start).T))
    share = np.clip((points - start) @ along / length, 0, 1)
    return np.asarray(np.hypot(*(points - start - share[:, None] * along).T))
