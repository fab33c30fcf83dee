"""A film in memory: its size and its spacing are plausible."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boneseg.errors import RadiographError
from boneseg.radiograph.film import (
    MAX_PIXELS,
    MAX_RATIO,
    MIN_SIDE,
    SPACINGS,
    Radiograph,
    believed_spacing,
    check_size,
    pick_frame,
)
from boneseg.radiograph.grey import Grey

PATH = Path("knee.png")
SIDE = math.isqrt(MAX_PIXELS)


@pytest.mark.parametrize(
    ("height", "width"),
    [(MIN_SIDE, MIN_SIDE), (MIN_SIDE, MIN_SIDE * MAX_RATIO), (SIDE, SIDE)],
)
def test_the_limits_themselves_are_films(height: int, width: int) -> None:
    check_size(PATH, height, width)
    check_size(PATH, width, height)


@pytest.mark.parametrize(
    ("height", "width", "reason"),
    [
        (MIN_SIDE - 1, 100, "is too small; each side needs 16 or more"),
        (MIN_SIDE, MIN_SIDE * MAX_RATIO + 1, "is too elongated"),
        (SIDE + 1, SIDE, "is over the limit of 100 million; downsample it"),
    ],
)
def test_beyond_the_limits_the_reason_is_named(height: int, width: int, reason: str) -> None:
    for shape in ((height, width), (width, height)):
        with pytest.raises(RadiographError, match=reason) as refusal:
            check_size(PATH, *shape)
        assert str(refusal.value).startswith(f"knee.png: {shape[0]} x {shape[1]} pixels")


@given(st.lists(st.floats(), max_size=3))
def test_a_spacing_is_a_pair_of_lengths_or_unknown(sides: list[float]) -> None:
    good = len(sides) == 2 and all(SPACINGS[0] <= side <= SPACINGS[1] for side in sides)
    assert believed_spacing(sides) == (tuple(sides) if good else None)


def test_a_frame_is_chosen_where_there_are_several() -> None:
    assert (pick_frame(PATH, 1, None), pick_frame(PATH, 3, 3)) == (0, 2)
    with pytest.raises(RadiographError, match=r"holds 3 frames; .* --frame N, 1 to 3"):
        pick_frame(PATH, 3, None)
    with pytest.raises(RadiographError, match="has no frame 4; it holds 3"):
        pick_frame(PATH, 3, 4)


def test_a_film_is_shown_with_its_size_and_spacing() -> None:
    pixels = np.zeros((40, 20), np.float32)
    film = Radiograph(pixels, (0.2, 0.1), "detector", PATH)
    assert repr(film) == "Radiograph(40 x 20, spacing (0.2, 0.1))"
    assert "0.2 × 0.1 mm a pixel (detector)" in film._repr_html_()
    assert "unknown" in repr(Radiograph(pixels, None, "unknown", PATH))


@pytest.mark.parametrize(
    ("height", "width", "words"),
    [
        (15, 100, "is too small; each side needs 16 or more"),
        (
            *(16, 3201),
            "is too elongated for a film (aspect ratio over 200); give the original film",
        ),
        (10_001, 10_000, "is over the limit of 100 million; downsample it"),
    ],
)
def test_a_size_that_no_film_has_is_refused_in_words(height: int, width: int, words: str) -> None:
    with pytest.raises(RadiographError) as refusal:
        check_size(PATH, height, width)
    assert str(refusal.value) == f"knee.png: {height} x {width} pixels {words}"


def test_a_frame_that_is_not_there_is_refused_in_words() -> None:
    assert [pick_frame(PATH, 1, frame) for frame in (None, 1)] == [0, 0]
    assert [pick_frame(PATH, 2, frame) for frame in (1, 2)] == [0, 1]
    for frame, words in (
        (None, "holds 2 frames; choose one with segment --frame N, 1 to 2"),
        (3, "has no frame 3; it holds 2"),
    ):
        with pytest.raises(RadiographError) as refusal:
            pick_frame(PATH, 2, frame)
        assert str(refusal.value) == f"knee.png: {words}"


def test_areas_are_of_the_spacing_to_2_decimals() -> None:
    pixels = np.zeros((40, 20), np.float32)
    film = Radiograph(pixels, (0.1, 0.333), "detector", PATH)
    assert film.area_mm2(1000) == 33.3
    assert film.area_mm2(7) == 0.23
    assert Radiograph(pixels, None, "unknown", PATH).area_mm2(7) is None


def test_the_users_width_replaces_the_spacing_of_the_file_in_a_copy() -> None:
    pixels = np.zeros((40, 20), np.float32)
    film = Radiograph(pixels, (0.2, 0.1), "detector", PATH, aspect=2.0, frame=3)
    found = film.calibrated(0.15)
    assert (found.spacing_mm, found.spacing_kind) == ((0.3, 0.15), "user")
    assert (found.source, found.aspect, found.frame) == (PATH, 2.0, 3)
    assert found.pixels is film.pixels
    assert (film.spacing_mm, film.spacing_kind) == ((0.2, 0.1), "detector")


def test_a_film_has_square_pixels_and_one_frame_unless_told() -> None:
    stored = np.ones((40, 20), np.float32)
    for film in (
        Radiograph(stored, None, "unknown", PATH),
        Radiograph.stored(Grey(stored), None, "unknown", PATH),
    ):
        assert (film.aspect, film.frame, film.source, film.shape) == (1, 1, PATH, (40, 20))
        assert film.grey.stored is stored


def test_a_notebook_shows_the_spacing_to_3_digits_or_none() -> None:
    pixels = np.zeros((40, 20), np.float32)
    shown = Radiograph(pixels, (0.14321, 1.23456), "calibrated", PATH)._repr_html_()
    assert "40 × 20 px, 0.143 × 1.23 mm a pixel (calibrated)" in shown
    assert "40 × 20 px<" in Radiograph(pixels, None, "unknown", PATH)._repr_html_()
    assert repr(Radiograph(pixels, None, "unknown", PATH)) == (
        "Radiograph(40 x 20, spacing unknown)"
    )


def test_a_film_without_grey_values_has_no_pixels() -> None:
    """As `copy` and `pickle` make one before they fill it."""
    with pytest.raises(AttributeError, match=r"^pixels$"):
        Radiograph.__new__(Radiograph).pixels  # noqa: B018
