"""Tubes made of a few measurements of a bone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boneseg.simulate.tubes import _smooth, tube


@given(st.lists(st.floats(1, 30), min_size=2, max_size=6), st.integers(0, 99))
def test_a_curve_goes_through_its_knots_and_never_beyond_them(
    widths: list[float], seed: int
) -> None:
    at = np.linspace(0, 1, len(widths))
    values = np.array([widths, widths[::-1]]).T
    found = _smooth(at, values, np.linspace(0, 1, 200))
    assert values.min() - 1e-9 <= found.min() and found.max() <= values.max() + 1e-9
    np.testing.assert_allclose(_smooth(at, values, at), values, atol=1e-9)


def test_one_seed_gives_one_tube_and_another_another() -> None:
    def made(seed: int) -> object:
        rng = np.random.default_rng(seed)
        return tube(rng, (0, 0), (0, 100), [(0, 8), (0.5, 5), (1, 9)])

    assert repr(made(1)) == repr(made(1)) != repr(made(2))


@pytest.mark.parametrize("length", [20.0, 400.0])
def test_a_tube_is_as_long_as_its_ends_are_apart(length: float) -> None:
    rng = np.random.default_rng(0)
    found = tube(rng, (3, 4), (3, 4 + length), [(0, 8), (1, 8)], wobble=0)
    assert (found.start, found.length) == ((3, 4), pytest.approx(length))
    assert found.angle == pytest.approx(0)
    assert 14 < 2 * found.rows[:, 1].max() <= 16.01  # mm across
