"""What a bundle carries beside its weights: its threshold, temperature and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boneseg.bundle import Card, library_versions
from boneseg.engine import calibrated
from boneseg.evaluate import evaluate_predictions
from boneseg.films import prepare_films
from boneseg.metrics import Summary
from boneseg.prepare import Floats, Preparation
from boneseg.seen import SEEN, digest, joined
from boneseg.training import TrainedRun
from boneseg.validation import predict

THRESHOLDS = tuple(np.round(np.arange(0.2, 0.81, 0.05), 2).tolist())


@dataclass(frozen=True)
class Judgement:
    """A run's card, with the masks of its validation films and the scores behind its figures."""

    card: Card
    summary: Summary
    masks: tuple[NDArray[np.bool_], ...]  # H x W on each film's own grid


def judge(run: TrainedRun) -> Judgement:
    """Calibrate the threshold of a run on its validation films, and score them with it."""
    size = run.recipe.prepare
    if size.height is None or size.width is None:
        raise ValueError("settle the recipe before a bundle is made of its run")
    preparation = Preparation(size.height, size.width)
    prepared = prepare_films(run.validation, preparation)
    grids = predict(run.network, prepared.films).numpy()[:, 0]
    pairs = zip(grids, prepared.places, strict=True)
    found = [preparation.restore(grid, place) for grid, place in pairs]
    truth = [film.mask for film in run.validation]
    at = calibrated_threshold(found, truth)
    masks = tuple(np.asarray(probability >= at, np.bool_) for probability in found)
    summary = evaluate_predictions(
        (
            (film.case.name, mask, film.mask, film.radiograph.spacing_mm)
            for film, mask in zip(run.validation, masks, strict=True)
        ),
        [film.case.group for film in run.validation],
    )
    films = {"fingerprint": run.fingerprint, "validation": len(run.validation)}
    shown = (digest(film.radiograph) for film in (*run.training, *run.validation))
    card = Card(
        architecture=run.recipe.network,
        height=size.height,
        width=size.width,
        threshold=at,
        metrics={name: float(value) for name, value in summary.mean.items()},
        restarts=run.restarts,
        data=films | {"training": len(run.training), SEEN: joined(shown, run.seen_before)},
        recipe=run.recipe.model_dump(mode="json"),
        versions=library_versions(),
    )
    return Judgement(card, summary, masks)


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
