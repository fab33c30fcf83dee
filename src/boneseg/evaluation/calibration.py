"""Calibration of probabilities: threshold, temperature, and calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boneseg.inference.temperature import scaled
from boneseg.preprocessing import Floats

THRESHOLDS = tuple(np.round(np.arange(0.2, 0.81, 0.05), 2).tolist())


def calibrated_threshold(found: Sequence[Floats], truth: Sequence[NDArray[np.bool_]]) -> float:
    """Return the threshold on the probability of bone that gives the highest mean Dice.

    It differs from 0.5 only where the gain exceeds twice its standard error over the films:
    otherwise a few validation films would move it by chance.
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
    """Threshold and temperature, fitted on films that the weights were not trained on."""

    threshold: float
    temperature: float
    ece_before: float  # expected calibration error, in [0, 1]
    ece_after: float


def calibrate(found: Sequence[Floats], truth: Sequence[NDArray[np.bool_]]) -> Calibration:
    """Fit temperature and threshold to the probabilities of films and their truth, H x W each."""
    temperature = fitted_temperature(found, truth)
    after = [scaled(probability, temperature) for probability in found]
    return Calibration(
        threshold=calibrated_threshold(after, truth),
        temperature=temperature,
        ece_before=calibration_error(found, truth),
        ece_after=calibration_error(after, truth),
    )


def fitted_temperature(found: Sequence[Floats], truth: Sequence[NDArray[np.bool_]]) -> float:
    """Return the maximum-likelihood temperature, from 1/5 to 5 (Guo et al., 2017).

    At most 20,000 pixels per film are used, so that large films do not outweigh the others.
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

    def negative_log_likelihood(log_temperature: float) -> float:
        return float(np.logaddexp(0, sign * logits / np.exp(log_temperature)).mean())

    best = minimize_scalar(
        negative_log_likelihood, bounds=(-np.log(5), np.log(5)), method="bounded"
    )
    return round(float(np.exp(best.x)), 4)


def calibration_error(
    found: Sequence[Floats], truth: Sequence[NDArray[np.bool_]], bins: int = 20
) -> float:
    """Return the expected calibration error (Naeini et al., 2015) over all pixels, in [0, 1].

    It is the mean absolute difference, over bins of equal width and weighted by their pixels,
    between the mean probability of bone and the fraction of bone.
    """
    count, confidence, bone = np.zeros(bins), np.zeros(bins), np.zeros(bins)
    for probability, mask in zip(found, truth, strict=True):
        p = probability.ravel().astype(np.float64)
        bin_of = np.minimum((p * bins).astype(np.intp), bins - 1)
        count += np.bincount(bin_of, minlength=bins)
        confidence += np.bincount(bin_of, weights=p, minlength=bins)
        bone += np.bincount(bin_of, weights=mask.ravel(), minlength=bins)
    return float(np.abs(confidence - bone).sum() / count.sum())
