"""The alignment suggested from a mask, on legs whose centres are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from boneseg.masks.measures.alignment import medial_side, suggested, without_fibula
from boneseg.masks.measures.geometry import signed_deviation

HIP, KNEE, ANKLE = (160.0, 130.0), (112.0, 420.0), (104.0, 705.0)
SHAPE = (800, 240)


def leg(*, pelvis: bool, shape: tuple[int, int] = SHAPE) -> NDArray[np.bool_]:
    """A femur, a tibia with a gap to it, and the pelvis over its head; medial to the right."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    mask = np.zeros(shape, bool)

    def disc(place: tuple[float, float], radius: float) -> None:
        mask[np.hypot(columns - place[0], rows - place[1]) < radius] = True

    def bar(start: tuple[float, float], end: tuple[float, float], width: float) -> None:
        (ax, ay), (bx, by) = start, end
        along = (columns - ax) * (bx - ax) + (rows - ay) * (by - ay)
        at = np.clip(along / ((bx - ax) ** 2 + (by - ay) ** 2), 0, 1)
        away = np.hypot(columns - ax - at * (bx - ax), rows - ay - at * (by - ay))
        mask[away < width / 2] = True

    bar((118, 165), KNEE, 24)  # shaft of the femur
    disc((118, 165), 22)  # trochanter
    bar((118, 175), HIP, 30)  # neck
    disc(HIP, 19)
    disc(KNEE, 29)
    bar((KNEE[0] + 1, 470), ANKLE, 22)  # shaft of the tibia
    disc((KNEE[0] + 1, 474), 24)
    disc((ANKLE[0], ANKLE[1] - 8), 16)
    if pelvis:
        bar((165, 105), (225, 60), 50)
        bar((172, 128), (238, 145), 34)
        bar((189, 130), (200, 215), 26)  # ischium
    return mask


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("pelvis", [False, True])
def test_the_centres_of_a_leg_are_found_on_either_side(pelvis: bool, flip: bool) -> None:
    mask = leg(pelvis=pelvis)
    ((hip, knee, ankle),) = suggested(mask[:, ::-1] if flip else mask)
    if flip:
        hip, knee, ankle = ((SHAPE[1] - x, y) for x, y in (hip, knee, ankle))
    assert np.hypot(hip[0] - HIP[0], hip[1] - HIP[1]) < (8 if pelvis else 1.5)
    assert np.hypot(knee[0] - KNEE[0], knee[1] - KNEE[1]) < 2
    assert abs(ankle[0] - ANKLE[0]) < 2
    expected = signed_deviation((HIP, KNEE, ANKLE))
    assert signed_deviation((hip, knee, ankle)) == pytest.approx(expected, abs=1.5)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("pelvis", [False, True])
def test_the_side_opposite_the_shaft_is_medial(pelvis: bool, flip: bool) -> None:
    mask, hip, knee = leg(pelvis=pelvis), HIP, KNEE
    if flip:
        mask = mask[:, ::-1]
        hip, knee = (SHAPE[1] - HIP[0], HIP[1]), (SHAPE[1] - KNEE[0], KNEE[1])
    assert medial_side(mask, hip, knee) == ("left" if flip else "right")


def test_the_medial_side_is_not_known_where_no_shaft_is_aside() -> None:
    mask = leg(pelvis=True)
    assert medial_side(np.zeros(SHAPE, bool), HIP, KNEE) is None
    assert medial_side(mask, (118.0, 165.0), KNEE) is None  # along the shaft
    assert medial_side(mask, (160.0, -900.0), (112.0, -500.0)) is None  # beside the film


def test_a_large_film_has_the_same_centres() -> None:
    small, large = leg(pelvis=True), np.kron(leg(pelvis=True), np.ones((3, 3), bool))
    (found,), (scaled,) = suggested(small), suggested(large)
    assert np.abs(np.array(scaled) - 3 * np.array(found)).max() < 9


def test_two_legs_are_found_from_left_to_right() -> None:
    one = leg(pelvis=True, shape=(800, 260))
    legs = suggested(np.concatenate([one, one[:, ::-1]], axis=1))
    assert len(legs) == 2
    (left, *_), (right, *_) = legs
    assert left[0] == pytest.approx(520 - right[0], abs=1)


@pytest.mark.parametrize(
    ("what", "rows"),
    [("no ankle", slice(0, 600)), ("no hip", slice(250, 800)), ("a knee", slice(330, 520))],
)
def test_a_leg_without_both_ends_has_no_suggestion(what: str, rows: slice) -> None:
    assert suggested(leg(pelvis=True)[rows]) == [], what


def test_what_is_no_leg_has_no_suggestion() -> None:
    assert suggested(np.zeros((300, 200), bool)) == []
    assert suggested(np.ones((300, 200), bool)) == []
    rng = np.random.default_rng(0)
    assert suggested(rng.random((400, 100)) > 0.5) == []


def test_a_named_fibula_does_not_move_the_ankle() -> None:
    alone = leg(pelvis=True)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    fibula = (np.abs(columns - 88) < 7) & (rows > 560) & (rows < 715)
    touching = alone | fibula
    bones = {"fibula": fibula, "tibia": alone & (rows > 450), "femur": alone & (rows < 450)}
    assert np.array_equal(without_fibula(touching, bones), alone)
    assert suggested(without_fibula(touching, bones)) == suggested(alone)
    assert without_fibula(touching, {"femur": alone}) is touching
