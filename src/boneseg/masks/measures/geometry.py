"""The geometry of measures: lengths, angles between lines, and the alignment of a leg.

Points are (x, y) in px from the corner of the film, y downwards. Angles are measured in mm where
the spacing is known, so pixels that are not square do not distort them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Point = tuple[float, float]
Kind = Literal["length", "angle", "cobb", "alignment"]
Unit = Literal["px", "mm", "deg"]
Side = Literal["left", "right"]  # of the film

POINTS: dict[Kind, int] = {"length": 2, "angle": 3, "cobb": 4, "alignment": 3}


@dataclass(frozen=True)
class Measure:
    """A measure that a person drew or accepted.

    points: of a length, its ends; of an angle, an end, the vertex and the other end; of a Cobb
    angle, two lines; of an alignment, the centres of hip, knee and ankle. name: in words, may be
    empty. suggested: whether the points are still those that boneseg suggested. medial: of an
    alignment, the side of the film that is medial, None where it is not known.
    """

    kind: Kind
    points: tuple[Point, ...]
    name: str = ""
    suggested: bool = False
    medial: Side | None = None

    def __post_init__(self) -> None:
        if len(self.points) != POINTS[self.kind]:
            raise ValueError(f"{self.kind} takes {POINTS[self.kind]} points")


@dataclass(frozen=True)
class Value:
    """A number with its unit: px, mm or degrees."""

    number: float
    unit: Unit


def values(measure: Measure, spacing_mm: tuple[float, float] | None) -> dict[str, Value]:
    """The values of a measure by name, for the spacing of (rows, columns) in mm, None if unknown.

    length: of the line. angle: of the vertex, 0 to 180 degrees; of a Cobb angle, between the two
    lines, 0 to 90 degrees. An alignment has the hip-knee-ankle angle (180 degrees in a straight
    leg, below in varus, above in valgus), the varus or valgus that this is, the mechanical axis
    deviation (distance of the knee from the line of hip and ankle) and the lengths of femur, tibia
    and leg. Where it is not known which side is medial, the hip-knee-ankle angle is 180 degrees at
    most, and the deviation from that is called "varus or valgus".
    """
    rows, columns = spacing_mm or (1.0, 1.0)
    unit: Unit = "mm" if spacing_mm else "px"
    points = [(x * columns, y * rows) for x, y in measure.points]
    if measure.kind == "length":
        return {"length": Value(math.dist(*points), unit)}
    if measure.kind == "angle":
        end, vertex, other = points
        return {"angle": Value(_between(_vector(vertex, end), _vector(vertex, other)), "deg")}
    if measure.kind == "cobb":
        angle = _between(_vector(points[0], points[1]), _vector(points[2], points[3]))
        return {"cobb angle": Value(min(angle, 180 - angle), "deg")}
    hip, knee, ankle = points
    word, bend = _bend(signed_deviation(points), measure.medial)
    return {
        "hip-knee-ankle angle": Value(180 + bend if word == "valgus" else 180 - bend, "deg"),
        word: Value(bend, "deg"),
        "mechanical axis deviation": Value(distance_to_line(knee, hip, ankle), unit),
        "femur": Value(math.dist(hip, knee), unit),
        "tibia": Value(math.dist(knee, ankle), unit),
        "leg": Value(math.dist(hip, ankle), unit),
    }


def signed_deviation(points: Sequence[Point]) -> float:
    """By how much hip, knee and ankle deviate from a straight line, degrees, -180 to 180.

    The sign is that of the side of the film where the knee is: positive to the right.
    """
    hip, knee, ankle = points
    (ux, uy), (vx, vy) = _vector(hip, knee), _vector(knee, ankle)
    right = math.copysign(1, ankle[1] - hip[1])  # of the way from hip to ankle, down or up the film
    return math.degrees(math.atan2(right * (ux * vy - uy * vx), ux * vx + uy * vy))


def _bend(deviation: float, medial: Side | None) -> tuple[str, float]:
    """Whether a knee deviates laterally (varus) or medially (valgus), and by how many degrees."""
    if medial is None:
        return "varus or valgus", abs(deviation)
    lateral = (deviation > 0) == (medial == "left")
    return "varus" if lateral or not deviation else "valgus", abs(deviation)


def distance_to_line(point: Point, start: Point, end: Point) -> float:
    """The distance of a point from the line through two others, or from both if they coincide."""
    (ax, ay), (bx, by) = _vector(start, end), _vector(start, point)
    length = math.hypot(ax, ay)
    return abs(ax * by - ay * bx) / length if length else math.hypot(bx, by)


def _vector(start: Point, end: Point) -> Point:
    return end[0] - start[0], end[1] - start[1]


def _between(one: Point, other: Point) -> float:
    """The angle between two directions, 0 to 180 degrees; 0 where one has no length."""
    cross, dot = one[0] * other[1] - one[1] * other[0], one[0] * other[0] + one[1] * other[1]
    return math.degrees(math.atan2(abs(cross), dot))
