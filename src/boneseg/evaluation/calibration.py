"""Calibration of probabilities: the threshold, the temperature, and the calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boneseg.inference.engine import calibrated
from boneseg.preprocessing import Floats

THRESHOLDS = tuple(np.round(np.arange(0.2, 0.81, 0.05), 2).tolist())


def calibrated_threshold(found: Sequence[Floats], truth: Sequence[NDArray[np.bool_]]) -> float:
    """The probability from which pixels are called bone, for the highest mean Dice.

    It leaves 0.5 only where the gain over the films is above twice its standard error: a handful of
    validation films would otherwise move it by chance.
    """
    pairs = list(zip(found, truth, strict=True))
    scores = {at: np.array([_dice(p >= at, true) for p, true in pairs]) for at in THRESHOLDS}
    best = max(THRESHOLDS, key=lambda at: (float(scores[at].mean()), -abs(at - 0.5)))
    gain = scores[best] - scores[0.5]
    error = float(gain.std(ddof=1)) / len(gain) ** 0.5 if len(gain) > 1 else np.inf
    return best if float(gain.mean()) > 2 * error else 0.5


def _dice(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    total = int(mask.sum()) + int(truth.sum())
    return 2 * int((mask & truth).sum()) / total if total else 1.0


@dataclass(frozen=True)
class Calibration:
    """What makes probabilities mean what they say, found on films that no weight was fitted to."""

    threshold: float
    temperature: float
    ece_before: float  # expected calibration error, in [0, 1]
    ece_after: float


def calibrate(found: Sequence[Floats], truth: Sequence[NDArray[np.bool_]]) -> Calibration:
    """The temperature and the threshold for probabilities (H x W each) of films and their truth."""
    temperature = fitted_temperature(found, truth)
    after = [calibrated(probability, temperature) for probability in found]
    return Calibration(
        threshold=calibrated_threshold(after, truth),
        temperature=temperature,
        ece_before=calibration_error(found, truth),
        ece_after=calibration_error(after, truth),
    )


def fitted_temperature(found: Sequence[Floats], truth: Sequence[NDArray[np.bool_]]) -> float:
    """The temperature, from 1/5 to 5, of the highest likelihood (Guo et al., 2017).

    From at most 20,000 pixels of each film, so that a large film does not outweigh the others.
    """
    from scipy.optimize import minimize_scalar

    rng = np.random.default_rng(0)
    probabilities, labels = [], []
    for probability, mask in zip(found, truth, strict=True):
        some = rng.integers(mask.size, size=min(mask.size, 20_000))
        probabilities.append(probability.ravel()[some])
        labels.append(mask.ravel()[some])
    p = np.clip(np.concatenate(probabilities).astype(np.float64), 1e-5, 1 - 1e-5)
    logits, sign = np.log(p / (1 - p)), np.where(np.concatenate(labels), -1.0, 1.0)

    def unlikelihood(log_temperature: float) -> float:
        return float(np.logaddexp(0, sign * logits / np.exp(log_temperature)).mean())

    best = minimize_scalar(unlikelihood, bounds=(-np.log(5), np.log(5)), method="bounded")
    return round(float(np.exp(best.x)), 4)


def calibration_error(
    found: Sequence[Floats], truth: Sequence[NDArray[np.bool_]], bins: int = 20
) -> float:
    """Expected calibration error (Naeini et al., 2015) of the probability of bone, over all pixels.

    Between 0 and 1: how far, over equal bins of probability, the share of bone is from it.
    """
    count, chance, bone = np.zeros(bins), np.zeros(bins), np.zeros(bins)
    for probability, mask in zip(found, truth, strict=True):
        p = probability.ravel().astype(np.float64)
        bin_of = np.minimum((p * bins).astype(np.intp), bins - 1)
        count += np.bincount(bin_of, minlength=bins)
        chance += np.bincount(bin_of, weights=p, minlength=bins)
        bone += np.bincount(bin_of, weights=mask.ravel(), minlength=bins)
    return float(np.abs(chance - bone).sum() / count.sum())
