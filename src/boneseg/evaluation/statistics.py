"""What chance alone would do to the mean of scores, and to the difference between two models'.

Films of one patient are alike, and say less than as many of as many patients: where it is known
which are of one, patients are drawn by chance, each with all of its films (the cluster bootstrap;
Davison and Hinkley, "Bootstrap methods and their application", 1997, section 3.8).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

ENOUGH = 20  # films for the bootstrap to be trusted
EVERY_SIGN = 12  # films, of which all patterns of signs are gone through
AT_ONCE = 1_000_000  # groups drawn in one go
ROUNDING = 1e-12

Floats = NDArray[np.float64]
Groups = Sequence[str | None]  # of each film its patient, None where that is not known


def in_groups(values: ArrayLike, groups: Groups | None = None) -> tuple[Floats, Floats]:
    """The sum of the values of each group, and how many they are; a film without one is its own.

    Both of length G, in the order in which groups first come.
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
    """How many there are for chance to draw from, and of what: "film", or "patient" where known."""
    number = len(in_groups(np.zeros(len(groups)), groups)[0])
    return number, "patient" if number < len(groups) else "film"


def resampled(
    values: ArrayLike, groups: Groups | None, resamples: int, seed: int = 0
) -> tuple[Floats, Floats]:
    """The mean of values in each of so many draws of groups with replacement, and its error.

    The standard error is by the residuals of the groups drawn: the mean is a ratio of two sums
    (Cochran, "Sampling techniques", 1977, section 2.11).
    """
    sums, counts = in_groups(values, groups)
    rng, number = np.random.default_rng(seed), len(sums)
    at_once = max(1, AT_ONCE // number)  # all at once would take resamples x groups of memory
    found = []
    for rows in [at_once] * (resamples // at_once) + [resamples % at_once]:
        drawn = rng.integers(number, size=(rows, number))
        found.append(_ratio(sums[drawn], counts[drawn]))
    means, errors = map(np.concatenate, zip(*found, strict=True))
    return means, errors


def _ratio(sums: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """The means of rows of groups' values, and their standard errors."""
    total = counts.sum(axis=-1)
    means = sums.sum(axis=-1) / total
    return means, np.linalg.norm(sums - means[..., None] * counts, axis=-1) / total


def paired_p(
    ours: ArrayLike, theirs: ArrayLike, resamples: int = 10_000, groups: Groups | None = None
) -> float:
    """The two-sided p-value of the mean difference of scores paired by film; never 0.

    From 20 films by bootstrap: the differences are shifted to mean 0, as they would be were both
    alike, and resampled; p is how often their mean is then at least as many of its standard errors
    from 0 as the one seen (Efron and Tibshirani, 1993, section 16.4; the mean alone, unstudentised,
    calls 7 of 100 chances of 20 films less than 0.05). Of fewer films that is too sure. Their
    differences are given every pattern of signs instead, for were both alike, each could as well
    have been the other way round (Fisher, 1935, section 21); of more than 12 films, random ones.
    Where the films' patients are known (`groups`), they count, and not films.
    """
    difference = np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)
    sums, counts = in_groups(difference, groups)
    number, rng = len(sums), np.random.default_rng(0)
    if number <= EVERY_SIGN:
        patterns = np.arange(2**number)[:, None] >> np.arange(number) & 1
        return float(np.mean(_as_far((1 - 2 * patterns) @ sums, sums.sum())))
    if number < ENOUGH:
        chances, seen = rng.choice((-1.0, 1.0), size=(resamples, number)) @ sums, sums.sum()
    else:
        seen = _in_errors(*_ratio(sums, counts))
        chances = _in_errors(*resampled(difference - difference.mean(), groups, resamples))
    return float((1 + _as_far(chances, seen).sum()) / (1 + resamples))


def _as_far(chances: Floats, seen: ArrayLike) -> NDArray[np.bool_]:
    """Which chances are at least as far from 0 as what was seen, but for rounding."""
    return np.asarray(np.abs(chances) >= np.abs(seen) - ROUNDING)


def _in_errors(means: ArrayLike, errors: ArrayLike) -> Floats:
    """How many standard errors means are from 0; without an error none, or beyond all bounds."""
    far = np.abs(np.asarray(means, np.float64))
    unerring = np.where(far > ROUNDING, np.inf, 0.0)
    return np.divide(far, errors, out=unerring, where=np.asarray(errors) > ROUNDING)


def p_words(p: float | None) -> str:
    """A p-value for a table; a dash where there is none."""
    if p is None:
        return "–"
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"
