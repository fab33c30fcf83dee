"""The alignment of a leg, from the mask of a full-leg film: centres of hip, knee and ankle.

    for points in suggested(mask):
        hip, knee, ankle = points        # (x, y), px

- knee: at the height of the largest disc in the condyles of the femur, on the midline of the bone
  around it;
- hip: the centre of the femoral head. In a mask of all bones its outline is hidden by the pelvis,
  so it is found from the neck: the shortest line between the notch below the neck, where the femur
  meets the ischium, and the notch above it. The head is `_HEAD` from there, in units of that line,
  and its offset from the shaft is averaged with one that follows from the shaft's width.
  In a mask of the femur alone it is the largest disc at the medial end;
- ankle: on the midline of the tibia's shaft where it is narrow, so that the fibula does not touch
  it, at the length of the tibia.

A leg whose hip or ankle is not on the film has no suggestion.

    medial_side(mask, hip, knee)         # "left" or "right" of the film: tells varus from valgus
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boneseg.masks.measures.geometry import Point, Side

Mask = NDArray[np.bool_]

SIDE = 1024  # px; the longest side on which a leg is examined
_BOTH = 0.45  # width by height of a film from which it shows two legs
_HEAD = 0.457 + 0.525j  # from the lower to the upper notch, in units of the neck's width
_REGRESSED = (0.64, 0.56)  # the head's offset from the shaft: by that of the neck, by the width
_KNEE = (0.1, 0.06)  # above and below the largest disc, where the knee's midline is, by its length
_TIBIA = 0.98  # from the condyles' centre to the ankle, by the distance of hip and condyles
_NECK = (0.85, 1.65)  # width of the neck by that of the shaft
_OFFSET = (0.9, 2.15)  # of the head from the axis of the shaft, by the width of the shaft
_ASIDE = (0.015, 0.12)  # of the shaft from the line of hip and knee, by its length; median .047
_STEP = 12  # px by which the medial outline of the shaft may step outwards, such as at a trochanter


def suggested(mask: Mask) -> list[tuple[Point, Point, Point]]:
    """Hip, knee and ankle of each whole leg in a mask (bool, H x W), from left to right."""
    height, width = mask.shape
    step = max(1, -(-max(height, width) // SIDE))
    small = mask[::step, ::step]
    halves = [(0, small)]
    if width > _BOTH * height:
        middle = small.shape[1] // 2
        halves = [(0, small[:, :middle]), (middle, small[:, middle:])]
    found = []
    for left, half in halves:
        if (points := _leg(half)) is not None:
            hip, knee, ankle = (((x + left) * step, y * step) for x, y in points)
            found.append((hip, knee, ankle))
    return found


def suggested_by_names(
    mask: Mask, bones: Callable[[], Mapping[str, Mask]]
) -> list[tuple[Point, Point, Point]]:
    """As `suggested`, but without the named fibula where that leaves a leg.

    bones: gives the masks of `without_fibula`; it is called only if the mask shows a whole leg.
    """
    legs = suggested(mask)
    return (suggested(without_fibula(mask, bones())) or legs) if legs else []


def without_fibula(mask: Mask, bones: Mapping[str, Mask]) -> Mask:
    """A mask without the named fibula, which widens the tibia's shaft where it touches it.

    bones: masks by name of the same film, or none; all bool, H x W.
    """
    if (fibula := bones.get("fibula")) is None:
        return mask
    others = [bone for name, bone in bones.items() if name in ("femur", "tibia")]
    return np.asarray(mask & ~(fibula & ~np.any([np.zeros_like(mask), *others], axis=0)))


def medial_side(mask: Mask, hip: Point, knee: Point) -> Side | None:
    """The side of the film that is medial for a leg, whose femur is in a mask (bool, H x W).

    The neck carries the head medially of the shaft, so the shaft is lateral of the line from hip to
    knee. None where the mask shows no shaft, or one that is too close to that line or too far.
    """
    (hip_x, hip_y), (knee_x, knee_y) = hip, knee
    aside = []
    for share in np.linspace(0.3, 0.7, 41):
        x, row = hip_x + share * (knee_x - hip_x), int(hip_y + share * (knee_y - hip_y))
        if 0 <= row < len(mask) and (middle := _nearest_middle(mask[row], x)) is not None:
            aside.append(middle - x)
    if len(aside) < 30:
        return None
    away = float(np.median(aside)) / float(np.hypot(knee_x - hip_x, knee_y - hip_y) or 1)
    if not _ASIDE[0] < abs(away) < _ASIDE[1]:
        return None
    return "left" if away > 0 else "right"


def _nearest_middle(line: NDArray[np.bool_], x: float) -> float | None:
    """The middle of the run of bone in a row that is nearest to x, None where there is no bone."""
    ends = np.flatnonzero(np.diff(np.pad(line, 1).astype(np.int8)))
    if not len(ends):
        return None
    starts, stops = ends[::2], ends[1::2]
    nearest = int(np.maximum(starts - x, x - stops).argmin())
    return float(starts[nearest] + stops[nearest]) / 2


def _leg(mask: Mask) -> tuple[Point, Point, Point] | None:
    """Hip, knee and ankle of the only leg in a mask, medial to the right or to the left."""
    from scipy.ndimage import binary_opening

    cleaned = np.asarray(binary_opening(mask, np.ones((3, 3))))
    legs = [(leg, flip) for flip in (False, True) if (leg := _Leg.of(_flipped(cleaned, flip)))]
    heads = [(head, leg, flip) for leg, flip in legs if (head := leg.head())]
    if not heads:
        return None
    head, leg, flip = max(heads, key=lambda one: one[0].votes)
    knee = leg.knee(head.centre)
    ankle = leg.ankle(head.centre, knee)
    if ankle is None:
        return None
    width = mask.shape[1]
    hip, middle, end = ((width - x if flip else x, y) for x, y in (head.centre, knee, ankle))
    return hip, middle, end


def _flipped(mask: Mask, flip: bool) -> Mask:
    return mask[:, ::-1] if flip else mask


@dataclass(frozen=True)
class _Head:
    centre: Point
    votes: tuple[int, float]  # of the outlines that lead to it, then its height on the film


@dataclass(frozen=True, eq=False)
class _Leg:
    """A leg whose medial side is to the right.

    middle: the column of the thickest way down through the bones, for each row. depth: the
    distance of each pixel to the background. row: of the condyles' largest disc.
    """

    mask: Mask
    depth: NDArray[np.float64]
    middle: NDArray[np.int64]
    row: int
    top: int
    bottom: int

    @classmethod
    def of(cls, mask: Mask) -> _Leg | None:
        """None for a mask too small to be a leg."""
        from scipy.ndimage import distance_transform_edt

        rows = np.flatnonzero(mask.any(axis=1))
        if len(rows) < 100:
            return None
        depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        middle = _thickest_way(depth, top, bottom)
        along = depth[np.arange(len(depth)), middle]
        low, high = (top + int(share * (bottom - top)) for share in (0.35, 0.75))
        row = low + int(along[low:high].argmax())
        return cls(mask, depth, middle, row, top, bottom)

    def knee(self, hip: Point) -> Point:
        """The knee: its midline is steadier than the largest disc where an edge is missed."""
        x, y = _disc(self.depth, self.row, int(self.middle[self.row]))
        length = float(np.hypot(hip[0] - x, hip[1] - y))
        first, last = self.row - _KNEE[0] * length, self.row + _KNEE[1] * length
        rows = range(max(int(first), self.top), min(int(last) + 1, self.bottom))
        middles = [(run[0] + run[1]) / 2 for row in rows if (run := self.run(row))]
        return float(np.mean(middles)) if middles else x, y

    @property
    def shaft(self) -> float:
        """The width of the femur's shaft, px."""
        length = self.bottom - self.row
        rows = np.arange(self.row - length // 2, self.row - length // 4)
        rows = rows[rows >= self.top]
        return 2 * float(np.median(self.depth[rows, self.middle[rows]])) if len(rows) else 0.0

    def run(self, row: int) -> tuple[int, int] | None:
        """The first column of the bone in a row, and the one after its last."""
        line, at = self.mask[row], int(self.middle[row])
        if not line[at]:
            return None
        left, right = np.flatnonzero(~line[:at]), np.flatnonzero(~line[at:])
        return int(left[-1]) + 1 if len(left) else 0, at + int(right[0]) if len(right) else len(
            line
        )

    def head(self) -> _Head | None:
        """The head of the femur, None where it is not found."""
        length = self.bottom - self.row
        ends: Counter[tuple[int, int]] = Counter()
        for row in range(self.row - int(0.35 * length), max(3, self.row - int(1.3 * length)), -3):
            run = self.run(row)
            if run is not None and run[1] < self.mask.shape[1]:
                ends[_climb(~self.mask, row, run[1])] += 1
        found = [
            _Head(centre, (min(votes, 10), centre[1]))
            for (row, column), votes in ends.items()
            if votes >= 3 and row >= 8 and (centre := self._head_at(row, column)) is not None
        ]
        if found:
            return max(found, key=lambda one: one.votes)
        return self._free_head()

    def _head_at(self, row: int, column: int) -> Point | None:
        """The head of a neck whose lower notch is here; None where this is no neck."""
        low, high = _neck(~self.mask, row, column) or (0j, 0j)
        width, limit = abs(high - low), _OFFSET[1] * self.shaft
        if not _NECK[0] * self.shaft < width < _NECK[1] * self.shaft:
            return None
        centre = low + _HEAD * (high - low)
        aside = self._aside(centre.real, centre.imag)
        if not _OFFSET[0] * self.shaft < aside < limit:
            return None
        rows, columns = np.ogrid[: self.mask.shape[0], : self.mask.shape[1]]
        away = np.hypot(rows + 0.5 - centre.imag, columns + 0.5 - centre.real)
        disc = self.mask[away < 0.62 * width]
        if not disc.size or disc.mean() < 0.93:
            return None
        regressed = _REGRESSED[0] * aside + _REGRESSED[1] * self.shaft
        return centre.real - aside + regressed, centre.imag

    def _aside(self, x: float, y: float) -> float:
        """How far a place above the knee is medial of the axis of the femur's shaft, px."""
        length = self.row - y
        axis = self._midline(int(self.row - 0.7 * length), int(self.row - 0.3 * length))
        return x - float(np.polyval(axis, y)) if axis is not None else 0.0

    def _midline(
        self, first: int, last: int, typical: float = 0.5, slack: float = 1.2
    ) -> NDArray[np.float64] | None:
        """Slope and start of the line x(y) in the middle of the bone between two rows.

        Rows where another bone touches it are left out: those wider than `slack` times the quantile
        `typical` of the widths.
        """
        rows = range(max(first, self.top), min(last, self.bottom))
        runs = [(row + 0.5, *run) for row in rows if (run := self.run(row))]
        if len(runs) < 10 or len(runs) < 0.8 * (last - first):
            return None
        centres, left, right = np.array(runs).T
        alone = (right - left) <= slack * np.quantile(right - left, typical)
        return np.asarray(np.polyfit(centres[alone], (left + right)[alone] / 2, 1))

    def _free_head(self) -> _Head | None:
        """The head of a femur without a pelvis: the largest disc medial of the shaft's axis."""
        length = self.row - self.top
        axis = self._midline(self.top + int(0.35 * length), self.top + int(0.7 * length))
        if axis is None or not 0.5 * length < (self.bottom - self.row) < 2 * length:
            return None
        part = self.depth[self.top : self.top + int(0.25 * length)]
        rows_of, columns = np.indices(part.shape)
        aside = columns + 0.5 - np.polyval(axis, rows_of + self.top)
        bone = part > 0
        farthest = float(aside[bone].max(initial=0.0))
        if farthest < 1.3 * self.shaft or farthest < -float(aside[bone].min(initial=0.0)):
            return None
        place = int(np.where(aside > 0.45 * farthest, part, 0).argmax())
        row, column = divmod(place, part.shape[1])
        radius, row = float(part[row, column]), row + self.top
        if row - 1.4 * radius > self.top:  # bone above it: not the head, or not free
            return None
        return _Head(_disc(self.depth, row, column), (1, float(row)))

    def ankle(self, hip: Point, knee: Point) -> Point | None:
        """The ankle on the midline of the tibia's shaft; None where it is not on the film."""
        (x, y), height = knee, self.mask.shape[0]
        length = _TIBIA * float(np.hypot(hip[0] - x, hip[1] - y))
        end = y + length
        axis = self._midline(int(y + 0.25 * length), int(y + 0.75 * length), 0.3, 1.05)
        if axis is None or end >= height or end > self.bottom + 0.08 * length:
            return None
        return float(np.polyval(axis, end)), end


def _thickest_way(depth: NDArray[np.float64], top: int, bottom: int) -> NDArray[np.int64]:
    """The column in each row of the way down with the greatest sum of depths, by a pixel a row."""
    height, width = depth.shape
    total = depth[top].copy()
    steps = np.zeros((height, width), np.int64)
    for row in range(top + 1, bottom):
        padded = np.pad(total, 1, constant_values=-np.inf)
        choices = np.stack([padded[:-2], padded[1:-1], padded[2:]])
        steps[row] = choices.argmax(axis=0) - 1
        total = choices.max(axis=0) + depth[row]
    way = np.zeros(height, np.int64)
    way[bottom - 1] = total.argmax()
    for row in range(bottom - 1, top, -1):
        way[row - 1] = way[row] + steps[row, way[row]]
    return way


def _disc(depth: NDArray[np.float64], row: int, column: int) -> Point:
    """The centre of the largest disc at a maximum of the depth: the mean of the deepest pixels."""
    top, left = max(0, row - 4), max(0, column - 4)
    part = depth[top : row + 5, left : column + 5]
    rows, columns = np.nonzero(part >= depth[row, column] - 0.7)
    return left + float(columns.mean()) + 0.5, top + float(rows.mean()) + 0.5


def _climb(free: Mask, row: int, column: int) -> tuple[int, int]:
    """Follow the right edge of a bone upwards, on the background `free`, to where it closes."""
    while row > 0:
        line, below = free[row - 1], free[row]
        at = column
        while at > 0 and line[at] and line[at - 1]:
            at -= 1
        while not line[at]:
            at += 1
            if at - column > _STEP or at >= len(line) or not (below[at] or below[at - 1]):
                return row, column
        row, column = row - 1, at
    return row, column


def _neck(free: Mask, row: int, column: int) -> tuple[complex, complex] | None:
    """The shortest line across the neck from its lower notch: (lower, upper) end, as x + iy."""
    low = [(row, column)]
    for below in range(row + 1, min(len(free), row + 16)):
        at = low[-1][1]
        if not free[below, at]:
            break
        while at > 0 and free[below, at - 1]:
            at -= 1
        low.append((below, at))
    top, left = max(0, row - 60), max(0, column - 50)
    rows, columns = np.nonzero(free[top : max(0, row - 6), left : column + 6])
    above = columns + left + 1j * (rows + top)
    best: tuple[complex, complex] | None = None
    for y, x in low:
        away = above - complex(x, y)
        upwards = away[-away.imag > 0.45 * np.abs(away)]
        if len(upwards):
            nearest = complex(upwards[np.abs(upwards).argmin()])
            if best is None or abs(nearest) < abs(best[1] - best[0]):
                best = complex(x, y), complex(x, y) + nearest
    return best
