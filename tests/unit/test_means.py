"""Means of squares are those of all of their pixels, whatever is summed at once."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boneseg.means import means

sides = st.integers(1, 50)


def expected(film: np.ndarray, factor: int) -> np.ndarray:
    rows, columns = (range(0, side, factor) for side in film.shape)
    return np.array(
        [[film[y : y + factor, x : x + factor].mean() for x in columns] for y in rows], np.float64
    )


@pytest.mark.parametrize("kind", [np.float32, np.uint16, np.uint32])
@given(height=sides, width=sides, factor=st.integers(1, 60), block=st.integers(1, 500))
def test_they_are_those_of_squares_and_of_the_rest(
    kind: type, height: int, width: int, factor: int, block: int
) -> None:
    film = np.random.default_rng(0).integers(0, 25, (height, width)).astype(kind)
    with patch("boneseg.means._BLOCK", block):
        found = means(film.__getitem__, film.shape, factor, kind)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected(film, factor), rtol=1e-5)


def test_bytes_are_summed_as_wider_integers() -> None:
    film = np.full((6, 6), 255, np.uint8)
    assert (means(film.__getitem__, film.shape, 3, np.uint16) == 255).all()
