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
