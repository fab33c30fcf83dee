"""Confidence intervals of mean scores."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from boneseg.errors import UsageError
from boneseg.evaluation.statistics import bootstrap_ci95


def test_the_interval_is_the_same_for_the_same_seed():
    values = np.random.default_rng(1).random(40)
    assert bootstrap_ci95(values, seed=3) == bootstrap_ci95(values, seed=3)
    assert bootstrap_ci95(values, seed=3) != bootstrap_ci95(values, seed=4)


def test_the_interval_agrees_with_scipy():
    from scipy.stats import bootstrap

    values = np.random.default_rng(2).gamma(2.0, 3.0, 50)
    known = bootstrap((values,), np.mean, method="percentile", n_resamples=9999, rng=5)
    # Two sets of resamples differ by chance: far less than the width of the interval (about 2.4).
    expected = (known.confidence_interval.low, known.confidence_interval.high)
    assert_allclose(bootstrap_ci95(values, resamples=9999), expected, atol=0.12)


@settings(max_examples=15)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_interval_lies_among_the_values(values):
    low, high = bootstrap_ci95(values, resamples=200)
    assert min(values) - 1e-12 <= low <= high <= max(values) + 1e-12


def test_films_of_one_patient_leave_the_interval_as_wide_as_one_film_of_each():
    each = np.random.default_rng(4).random(25)
    groups = [f"patient {i // 4}" for i in range(100)]
    alone, all_films = bootstrap_ci95(each), np.repeat(each, 4)
    assert_allclose(bootstrap_ci95(all_films, groups=groups), alone)
    low, high = bootstrap_ci95(all_films)
    assert high - low < 0.6 * (alone[1] - alone[0])


def test_a_film_of_no_known_patient_is_a_patient_of_its_own():
    values, known = np.random.default_rng(5).random(30), [None] * 30
    assert bootstrap_ci95(values, groups=known) == bootstrap_ci95(values)
    assert bootstrap_ci95(values, groups=["a", "a", *known[2:]]) != bootstrap_ci95(values)


@pytest.mark.parametrize("values", [[], [0.5, math.nan], [math.inf]])
def test_no_interval_hides_a_value_that_is_missing(values):
    with pytest.raises(UsageError, match="finite"):
        bootstrap_ci95(values)
