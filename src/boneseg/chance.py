"""How often chance alone would give a difference between two models scored on the same films."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

ENOUGH = 20  # films for the bootstrap to be trusted
EVERY_SIGN = 12  # films, of which all patterns of signs are gone through

Floats = NDArray[np.float64]


def paired_p(ours: ArrayLike, theirs: ArrayLike, resamples: int = 10_000) -> float:
    """The two-sided p-value of the mean difference of scores paired by film; never 0.

    From 20 films by bootstrap: the differences are shifted to mean 0, as they would be were both
    alike, and resampled; p is how often their mean is then at least as far from 0 as the one seen
    (Efron and Tibshirani, 1993, section 16.4). Of fewer films that is far too sure. Their
    differences are given every pattern of signs instead, for were both alike, each could as well
    have been the other way round (Fisher, 1935, section 21); of more than 12 films, random ones.
    """
    difference = np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)
    count, rng = len(difference), np.random.default_rng(0)
    if count <= EVERY_SIGN:
        patterns = np.arange(2**count)[:, None] >> np.arange(count) & 1
        return float(np.mean(_as_far(difference, (1 - 2 * patterns) @ difference / count)))
    if count < ENOUGH:
        means = rng.choice((-1.0, 1.0), size=(resamples, count)) @ difference / count
    else:
        centred = difference - difference.mean()
        means = np.array(
            [centred[rng.integers(count, size=count)].mean() for _ in range(resamples)]
        )
    return float((1 + _as_far(difference, means).sum()) / (1 + resamples))


def _as_far(difference: Floats, means: Floats) -> NDArray[np.bool_]:
    """Which means are at least as far from 0 as that of the differences, but for rounding."""
    return np.abs(means) >= abs(float(difference.mean())) - 1e-12


def p_words(p: float | None) -> str:
    """A p-value for a table; a dash where there is none."""
    if p is None:
        return "–"
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"
