"""A temperature calibrates probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boneseg.inference.temperature import scaled


@given(st.floats(0.02, 0.98), st.floats(0.5, 5))
def test_a_temperature_keeps_the_order_and_the_half(value: float, temperature: float) -> None:
    points = np.array([value, 0.5], np.float32)
    after = scaled(points, temperature)
    assert after[1] == pytest.approx(0.5)
    assert (after[0] >= 0.5) == (points[0] >= 0.5)
    assert scaled(after, 1 / temperature)[0] == pytest.approx(points[0], abs=1e-3)


@given(st.floats(0.02, 0.98), st.floats(-3, 3))
def test_a_bias_is_added_to_the_logits(value: float, bias: float) -> None:
    after = float(scaled(np.array([value], np.float32), 1.0, bias)[0])
    expected = np.log(value / (1 - value)) + bias
    assert np.log(after / (1 - after)) == pytest.approx(expected, abs=1e-3)
