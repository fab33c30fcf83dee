"""A mask as polygons, and polygons as a mask.

    for outline in outlines(mask, tolerance=0.5):
        outline.outer, outline.holes              # float64, N x 2: (x, y) in pixels
    mask == fill(rings(outlines(mask)), mask.shape)

Coordinates are those of all annotation tools: x to the right and y down from the corner of the
film, so that the pixel in row r and column c covers c to c + 1 and r to r + 1. A pixel belongs to a
polygon if its centre does; nested rings alternate (even-odd rule), so a ring in a ring is a hole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from boneseg.masks.simplification import Ring, simplified

if TYPE_CHECKING:
    from contourpy._contourpy import FillReturn_OuterOffset

TOLERANCE = 0.35  # px; the most that changes no pixel, see `outlines`

_AT_ONCE = 1 << 21  # crossings of rows computed together: some 100 MB
_MOST_CROSSINGS = 400_000_000  # four for each pixel of the largest film
_MOST_STEPS = 10_000_000


@dataclass(frozen=True)
class Outline:
    """One piece of bone: its outer ring, and those of its holes."""

    outer: Ring
    holes: tuple[Ring, ...] = ()

    @property
    def rings(self) -> tuple[Ring, ...]:
        return (self.outer, *self.holes)


def outlines(mask: NDArray[np.bool_], tolerance: float = TOLERANCE) -> list[Outline]:
    """The outlines of a mask (bool, H x W), from top to bottom.

    They run half-way between the centres of pixels inside and outside, and have only as many points
    as needed to stay within `tolerance` px of that line (Douglas and Peucker, 1973). Up to 0.35,
    the least distance of that line from any centre, `fill` returns the same mask.
    """
    import contourpy

    if not mask.any():
        return []
    values = np.pad(mask, 1).astype(np.float32)  # so that outlines at the border are closed
    generator = contourpy.contour_generator(z=values, fill_type="OuterOffset")
    filled = cast("FillReturn_OuterOffset", generator.filled(0.5, np.inf))
    # There, pixel centres have integer coordinates, shifted by one by the padding; the last point
    # of a line repeats the first.
    lines = [
        [line[start : stop - 1] - 0.5 for start, stop in pairwise(ends)]
        for line, ends in zip(*filled, strict=True)
    ]
    fewer = iter(simplified([one for parts in lines for one in parts], tolerance))
    found = [
        Outline(outer, tuple(holes))
        for outer, *holes in ([next(fewer) for _ in parts] for parts in lines)
    ]
    return sorted(found, key=lambda outline: tuple(outline.outer.min(axis=0)[::-1]))


def rings(pieces: Iterable[Outline]) -> list[Ring]:
    """All rings of some outlines, as `fill` takes them."""
    return [ring for piece in pieces for ring in piece.rings]


def fill(shapes: Sequence[Ring], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Bool, H x W: the pixels whose centres lie in an odd number of rings.

    A centre on an edge belongs to the area to its right, or below it. Parts outside the film are
    clipped. Raises ValueError for rings that cross more rows than any outline does.
    """
    return fill_window(shapes, (0, shape[0]), (0, shape[1]))


def fill_window(
    shapes: Sequence[Ring], rows: tuple[int, int], columns: tuple[int, int]
) -> NDArray[np.bool_]:
    """As `fill`, for the part of a film between two rows and two columns (the last excluded)."""
    height, width = rows[1] - rows[0], columns[1] - columns[0]
    crossed = np.zeros(height * (width + 1), np.uint8)  # edges between a pixel and its left one
    for ring in shapes:
        for row, column in _crossings(np.asarray(ring, np.float64), rows, columns):
            # numpy counts faster than it inverts; a wrapped count keeps its parity
            np.add.at(crossed, (row - rows[0]) * (width + 1) + column - columns[0], 1)
    odd = (crossed & 1).reshape(height, width + 1)[:, :width]
    inside: NDArray[np.bool_] = np.bitwise_xor.accumulate(odd, axis=1).astype(bool)
    return inside


def touched(ring: Ring, shape: tuple[int, int]) -> NDArray[np.int64]:
    """The pixels of a film that the line of a ring runs through: N x 2, (row, column).

    Empty if the ring is outside the film. The line is sampled every half pixel. Raises
    ValueError for a line longer than any outline.
    """
    ends = _next(ring)
    steps = np.ceil(2 * np.abs(ends - ring).max(axis=1)).astype(np.int64) + 1
    if steps.sum() > _MOST_STEPS:
        raise ValueError("a line that is longer than any outline")
    edge = np.repeat(np.arange(len(ring)), steps)
    along = (np.arange(len(edge)) - np.repeat(steps.cumsum() - steps, steps)) / steps[edge]
    points = ring[edge] + (ends - ring)[edge] * along[:, None]
    height, width = shape
    on_film = ((points >= 0) & (points <= (width, height))).all(axis=1)
    places = np.minimum(points[on_film].astype(np.int64), (width - 1, height - 1))
    pixels: NDArray[np.int64] = np.unique(places[:, ::-1], axis=0)
    return pixels


def keyhole(outline: Outline) -> Ring:
    """One ring for a piece with holes, for formats without holes.

    Each hole is joined to the nearest point of the outer ring by a cut without width, which is
    traversed in both directions: it encloses nothing, so `fill` finds the same pixels, even if cuts
    cross other holes. Programs that also paint the edge of a polygon paint the cut.
    """
    from scipy.spatial import cKDTree

    if not outline.holes:
        return outline.outer
    distances, starts = cKDTree(outline.outer).query(np.concatenate(outline.holes))
    joined: dict[int, list[Ring]] = defaultdict(list)
    first = 0
    for hole in outline.holes:
        entry = int(distances[first : first + len(hole)].argmin())
        joined[int(starts[first + entry])].append(np.concatenate([hole[entry:], hole[: entry + 1]]))
        first += len(hole)
    parts, done = [], 0
    for start in sorted(joined):
        parts.append(outline.outer[done : start + 1])
        for loop in joined[start]:
            parts += [loop, outline.outer[start : start + 1]]
        done = start + 1
    return np.concatenate([*parts, outline.outer[done:]])


def ellipse(
    x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0.0, points: int = 180
) -> Ring:
    """An ellipse around (x, y), rotated clockwise as seen on the film."""
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
    (x, y), (next_x, next_y) = ring.T, _next(ring).T
    return abs(float(x @ next_y - y @ next_x)) / 2


def _next(ring: Ring) -> Ring:
    """The point after each point of a ring; np.roll is slow on short ones."""
    return np.concatenate([ring[1:], ring[:1]])


def _crossings(
    ring: Ring, rows: tuple[int, int], columns: tuple[int, int]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Crossings of edges with the centre lines of rows: the row, and the first column to the right.

    Some millions at a time, since a few points may cross every row many times.
    """
    ends = np.stack([ring, _next(ring)], axis=1)
    downwards = ends[:, 0, 1] <= ends[:, 1, 1]  # so that an edge traversed twice cancels
    top = np.where(downwards[:, None], ends[:, 0], ends[:, 1])
    bottom = np.where(downwards[:, None], ends[:, 1], ends[:, 0])
    first = np.clip(np.ceil(top[:, 1] - 0.5), *rows).astype(np.int64)
    last = np.clip(np.ceil(bottom[:, 1] - 0.5), *rows).astype(np.int64)
    counts = last - first
    if counts.sum() > _MOST_CROSSINGS:
        raise ValueError("a line that crosses more rows than any outline")
    every = np.arange(len(ring))
    for edges in np.split(every, _cuts(counts)) if counts.sum() > _AT_ONCE else (every,):
        number = counts[edges]
        edge = np.repeat(edges, number)
        row = np.arange(len(edge)) - np.repeat(number.cumsum() - number, number) + first[edge]
        run = bottom[edge] - top[edge]
        at = top[edge, 0] + (row + 0.5 - top[edge, 1]) * run[:, 0] / run[:, 1]
        yield row, np.clip(np.ceil(at - 0.5), *columns).astype(np.int64)


def _cuts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where to cut a list of edges so that each part crosses `_AT_ONCE` rows, or hardly more."""
    part = counts.cumsum() // _AT_ONCE
    return np.flatnonzero(np.diff(part)) + 1
