"""Bootstrap of mean scores, and significance tests of the difference between two models.

Films of one patient are correlated and carry less information than the same number from different
patients: where patients are known, they are resampled, each with all of its films (the cluster
bootstrap; Davison and Hinkley, "Bootstrap methods and their application", 1997, section 3.8).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from boneseg.errors import UsageError

BOOTSTRAP_MINIMUM = 20  # films from which the bootstrap is reliable
ENUMERATED_MAXIMUM = 12  # films up to which all sign patterns are enumerated
RESAMPLED_AT_ONCE = 1_000_000  # groups resampled at a time
ROUNDING = 1e-12

Floats = NDArray[np.float64]
Groups = Sequence[str | None]  # the patient of each film, None where unknown


def group_sums(values: ArrayLike, groups: Groups | None = None) -> tuple[Floats, Floats]:
    """Return the sum and the number of the values in each group; ungrouped films are groups of one.

    Both have length G, in order of first appearance.
    """
    cases = np.asarray(values, np.float64).ravel()
    if groups is None or all(group is None for group in groups):
        return cases, np.ones(cases.size)
    place: dict[object, int] = {}
    keys = [index if group is None else group for index, group in enumerate(groups)]
    at = np.array([place.setdefault(key, len(place)) for key in keys])
    sums = np.bincount(at, cases).astype(np.float64)
    return sums, np.bincount(at).astype(np.float64)


def sampling_units(groups: Groups) -> tuple[int, str]:
    """Return the number of resampling units and their kind: "patient" where known, else "film"."""
    number = len(group_sums(np.zeros(len(groups)), groups)[0])
    return number, "patient" if number < len(groups) else "film"


def resampled(
    values: ArrayLike, groups: Groups | None, resamples: int, seed: int = 0
) -> tuple[Floats, Floats]:
    """Return the mean of each resample of groups with replacement, and its standard error.

    The standard error comes from the residuals of the groups drawn, as the mean is a ratio of two
    sums (Cochran, "Sampling techniques", 1977, section 2.11).
    """
    sums, counts = group_sums(values, groups)
    rng, number = np.random.default_rng(seed), len(sums)
    at_once = max(1, RESAMPLED_AT_ONCE // number)  # bounds memory
    found = []
    for rows in [at_once] * (resamples // at_once) + [resamples % at_once]:
        drawn = rng.integers(number, size=(rows, number))
        found.append(_ratio(sums[drawn], counts[drawn]))
    means, errors = map(np.concatenate, zip(*found, strict=True))
    return means, errors


def _ratio(sums: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Means of rows of group sums, and their standard errors."""
    total = counts.sum(axis=-1)
    means = sums.sum(axis=-1) / total
    return means, np.linalg.norm(sums - means[..., None] * counts, axis=-1) / total


def bootstrap_ci95(
    values: ArrayLike, seed: int = 0, resamples: int = 2000, groups: Groups | None = None
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval (Efron 1979) of the mean of one value per case.

    Where the cases' patients are known (`groups`), patients are resampled, each with all of its
    cases. The same values, groups, seed and count give the same interval. Raises UsageError for no
    values or a non-finite one.
    """
    cases = np.asarray(values, dtype=np.float64).ravel()
    if cases.size == 0 or not np.isfinite(cases).all():
        raise UsageError("a confidence interval needs at least one value, and all values finite")
    means, _ = resampled(cases, groups, resamples, seed)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def paired_p(
    ours: ArrayLike, theirs: ArrayLike, resamples: int = 10_000, groups: Groups | None = None
) -> float:
    """Return the two-sided p-value of the mean difference of scores paired by film; never 0.

    With 20 films or more it is a studentised bootstrap: the differences are shifted to mean 0 (the
    null hypothesis) and resampled; p is the fraction of resamples whose mean is at least as many
    standard errors from 0 as the observed one (Efron and Tibshirani, 1993, section 16.4;
    unstudentised, 7 % of null samples of 20 films have p below 0.05). With fewer films the
    bootstrap is anti-conservative, and a sign-flip permutation test is used (Fisher, 1935,
    section 21): all sign patterns up to 12 films, random ones above.
    Where the films' patients are known (`groups`), patients are the units.
    """
    difference = np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)
    sums, counts = group_sums(difference, groups)
    number, rng = len(sums), np.random.default_rng(0)
    if number <= ENUMERATED_MAXIMUM:
        patterns = np.arange(2**number)[:, None] >> np.arange(number) & 1
        return float(np.mean(_at_least_as_far((1 - 2 * patterns) @ sums, sums.sum())))
    if number < BOOTSTRAP_MINIMUM:
        null, observed = rng.choice((-1.0, 1.0), size=(resamples, number)) @ sums, sums.sum()
    else:
        observed = _in_standard_errors(*_ratio(sums, counts))
        null = _in_standard_errors(*resampled(difference - difference.mean(), groups, resamples))
    return float((1 + _at_least_as_far(null, observed).sum()) / (1 + resamples))


def _at_least_as_far(null: Floats, observed: ArrayLike) -> NDArray[np.bool_]:
    """Whether null values are at least as far from 0 as the observed one, up to rounding."""
    return np.asarray(np.abs(null) >= np.abs(observed) - ROUNDING)


def _in_standard_errors(means: ArrayLike, errors: ArrayLike) -> Floats:
    """Distance of means from 0 in standard errors; where the error is 0, 0 or infinite."""
    far = np.abs(np.asarray(means, np.float64))
    without_error = np.where(far > ROUNDING, np.inf, 0.0)
    return np.divide(far, errors, out=without_error, where=np.asarray(errors) > ROUNDING)


def format_p(p: float | None) -> str:
    """Format a p-value for a table; a dash where there is none."""
    if p is None:
        return "–"
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"
