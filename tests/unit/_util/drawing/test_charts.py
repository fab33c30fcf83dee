"""Axes of charts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from boneseg._util.drawing.charts import linear, logarithmic


@given(st.floats(1e-9, 1e9))
def test_a_linear_axis_holds_its_value_in_a_few_steps(high: float) -> None:
    ticks = linear(high).ticks
    assert ticks[0] == 0 and high * (1 - 1e-6) <= ticks[-1] <= 2 * high
    assert 3 <= len(ticks) <= 7


@given(st.lists(st.floats(1e-9, 1e9), min_size=1))
def test_a_logarithmic_axis_holds_its_values(values: list[float]) -> None:
    axis = logarithmic(values)
    assert axis.ticks[0] <= min(values) * 1.001 and axis.ticks[-1] >= max(values) * 0.999
    assert len(axis.ticks) >= 2
    shares = [axis.share(value) for value in sorted(values)]
    assert shares == sorted(shares) and shares[0] >= 0 and shares[-1] <= 1
