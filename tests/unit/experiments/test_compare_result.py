"""Recipes compared with the first."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from boneseg.evaluation.statistics import paired_p


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_a_recipe_does_not_differ_from_itself(scores: list[float]) -> None:
    assert paired_p(scores, scores, 200) == 1
