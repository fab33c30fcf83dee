"""The threshold that a bundle carries, and its figures on the validation films."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boneseg.bundle import Card, library_versions
from boneseg.evaluate import evaluate_predictions
from boneseg.films import prepare_films
from boneseg.metrics import Summary
from boneseg.prepare import Floats, Preparation
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
        (film.case.name, mask, film.mask, film.radiograph.spacing_mm)
        for film, mask in zip(run.validation, masks, strict=True)
    )
    films = {"fingerprint": run.fingerprint, "validation": len(run.validation)}
    card = Card(
        architecture=run.recipe.network,
        height=size.height,
        width=size.width,
        threshold=at,
        metrics={name: float(value) for name, value in summary.mean.items()},
        restarts=run.restarts,
        data=films | {"training": len(run.training)},
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
