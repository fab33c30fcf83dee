"""The geometry of measures: it does not depend on where or how large a drawing is."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from boneseg.masks.measures.geometry import (
    POINTS,
    Kind,
    Measure,
    Side,
    distance_to_line,
    signed_deviation,
    values,
)

sides = st.floats(-1000, 1000)
places = st.tuples(sides, sides)
KINDS: list[Kind] = ["length", "angle", "cobb", "alignment"]


def number(kind: Kind, what: str, *points: tuple[float, float]) -> float:
    return values(Measure(kind, points), None)[what].number


def test_lengths_are_in_mm_where_the_spacing_is_known() -> None:
    line = Measure("length", ((10, 10), (13, 14)))
    (px,), (mm,) = values(line, None).values(), values(line, (0.5, 2.0)).values()
    assert (px.number, px.unit) == (5, "px")
    assert (mm.number, mm.unit) == (math.hypot(6, 2), "mm")


def test_angles_are_those_in_mm_where_pixels_are_not_square() -> None:
    corner = Measure("angle", ((1, 0), (0, 0), (1, 1)))
    assert values(corner, None)["angle"].number == pytest.approx(45)
    assert values(corner, (3.0, 1.0))["angle"].number == pytest.approx(math.degrees(math.atan(3)))


@given(st.floats(0, 90), st.floats(-180, 180), places, places)
def test_a_cobb_angle_is_that_of_its_lines_wherever_they_are(
    angle: float, turn: float, one: tuple[float, float], other: tuple[float, float]
) -> None:
    def line(start: tuple[float, float], degrees: float) -> list[tuple[float, float]]:
        there = math.radians(degrees)
        return [start, (start[0] + 100 * math.cos(there), start[1] + 100 * math.sin(there))]

    first, second = line(one, turn), line(other, turn + angle)
    assert number("cobb", "cobb angle", *first, *second) == pytest.approx(angle, abs=1e-6)
    assert number("cobb", "cobb angle", *first, *second[::-1]) == pytest.approx(angle, abs=1e-6)


@given(places, places, places)
def test_the_alignment_is_that_of_its_triangle(
    hip: tuple[float, float], knee: tuple[float, float], ankle: tuple[float, float]
) -> None:
    assume(min(math.dist(hip, knee), math.dist(knee, ankle), math.dist(hip, ankle)) > 1)
    found = values(Measure("alignment", (hip, knee, ankle)), None)
    femur, tibia, leg = (found[name].number for name in ("femur", "tibia", "leg"))
    angle = math.radians(found["hip-knee-ankle angle"].number)
    law = femur**2 + tibia**2 - 2 * femur * tibia * math.cos(angle)
    assert leg**2 == pytest.approx(law, abs=1e-6 * (1 + leg**2 + femur**2 + tibia**2))
    area = femur * tibia * math.sin(angle) / 2
    away = found["mechanical axis deviation"].number
    assert away * leg / 2 == pytest.approx(area, rel=1e-6, abs=1e-3)
    deviation = signed_deviation((hip, knee, ankle))
    assert abs(deviation) == pytest.approx(180 - math.degrees(angle), abs=1e-6)


def test_a_straight_leg_has_180_degrees_and_a_bent_one_a_side() -> None:
    assert number("alignment", "hip-knee-ankle angle", (0, 0), (0, 50), (0, 90)) == 180
    assert (
        signed_deviation(((0, 0), (5, 50), (0, 100)))
        > 0
        > signed_deviation(((0, 0), (-5, 50), (0, 100)))
    )


@pytest.mark.parametrize("flip", [1, -1])  # a leg shown upside down
@pytest.mark.parametrize(
    ("knee", "medial", "word", "angle"),
    [
        (5, "left", "varus", 168.6),
        (-5, "left", "valgus", 191.4),
        (5, "right", "valgus", 191.4),
        (-5, "right", "varus", 168.6),
        (5, None, "varus or valgus", 168.6),
        (-5, None, "varus or valgus", 168.6),
    ],
)
def test_varus_is_told_from_valgus_where_the_medial_side_is_known(
    knee: float, medial: Side | None, word: str, angle: float, flip: int
) -> None:
    points = (0.0, 0.0), (knee, 50.0 * flip), (0.0, 100.0 * flip)
    found = values(Measure("alignment", points, medial=medial), (0.2, 0.2))
    assert found["hip-knee-ankle angle"].number == pytest.approx(angle, abs=0.05)
    assert list(found)[1] == word
    assert found[word].number == pytest.approx(11.4, abs=0.05)


def test_points_that_coincide_have_values() -> None:
    for kind in KINDS:
        drawn = values(Measure(kind, ((3.0, 4.0),) * POINTS[kind]), (0.1, 0.1))
        assert all(math.isfinite(value.number) for value in drawn.values())
    assert distance_to_line((3, 4), (0, 0), (0, 0)) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_measure_has_the_points_of_its_kind(kind: Kind) -> None:
    with pytest.raises(ValueError, match=f"{kind} takes {POINTS[kind]} points"):
        Measure(kind, ((0, 0),))
