"""Confidence intervals of mean scores."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from boneseg.errors import UsageError
from boneseg.evaluation.statistics import bootstrap_ci95, format_p, paired_p, sampling_units


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


def test_a_film_of_an_unknown_patient_is_a_separate_patient():
    values, known = np.random.default_rng(5).random(30), [None] * 30
    assert bootstrap_ci95(values, groups=known) == bootstrap_ci95(values)
    assert bootstrap_ci95(values, groups=["a", "a", *known[2:]]) != bootstrap_ci95(values)


@pytest.mark.parametrize("values", [[], [0.5, math.nan], [math.inf]])
def test_no_interval_hides_a_value_that_is_missing(values):
    with pytest.raises(UsageError, match="finite"):
        bootstrap_ci95(values)


def test_the_p_value_tells_a_difference_from_chance() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(0.8, 0.9, 40)
    assert paired_p(base + 0.02 + rng.normal(0, 0.01, 40), base) < 0.001
    assert paired_p(base + 0.02, base) < 0.001  # by as much on every film
    chances = [paired_p(base + rng.normal(0, 0.02, 40), base, 500) for _ in range(200)]
    assert 0.01 < np.mean(np.array(chances) < 0.05) < 0.11


@pytest.mark.parametrize("films", [3, 5, 8, 15, 20])
def test_of_few_films_chance_alone_passes_no_more_often_than_it_says(films: int) -> None:
    rng = np.random.default_rng(films)
    draws = rng.normal(0, 0.02, (600, films)) * rng.choice([1, 4], (600, 1))
    base = np.zeros(films)
    chances = np.array([paired_p(draw, base, 400) for draw in draws])
    assert np.mean(chances < 0.05) < 0.07
    assert np.mean(chances < 0.2) > 0.1 or films < 5
    assert chances.min() >= 2 / 2**films


@pytest.mark.parametrize("patients", [6, 15, 30])
def test_films_of_one_patient_count_as_what_one_patient_says(patients: int) -> None:
    rng = np.random.default_rng(patients)
    groups = [f"patient {i // 4}" for i in range(4 * patients)]
    zero = np.zeros(len(groups))
    draws = [np.repeat(rng.normal(0, 0.02, patients), 4) for _ in range(200)]
    known = [paired_p(draw, zero, 300, groups) for draw in draws]
    unknown = [paired_p(draw, zero, 300) for draw in draws]
    assert np.mean(np.array(known) < 0.05) < 0.1
    assert np.mean(np.array(unknown) < 0.05) > 0.2


def test_sampling_units_are_patients_if_known_else_films() -> None:
    assert sampling_units(["a", "a", None, "b", None]) == (4, "patient")
    assert sampling_units(["a", "b", None]) == (3, "film")
    assert sampling_units([None] * 5) == (5, "film")


def test_every_sign_pattern_of_three_films_is_enumerated() -> None:
    assert paired_p([0.9, 0.8, 0.7], [0.1, 0.1, 0.1]) == 2 / 8
    assert paired_p([0.3, 0.3, 0.0], [0.0, 0.0, 0.1]) == 4 / 8


def test_a_small_p_is_not_written_as_0() -> None:
    assert [format_p(p) for p in (None, 0.25, 0.001, 0.0001)] == ["–", "0.250", "0.001", "< 0.001"]
