"""A finished training run: its network, its history, and the card of its bundle.

run = train(films, recipe, "runs/knees")
run.save("runs/knees/bundle")
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from boneseg._util.drawing.html import frame
from boneseg._util.text import counted
from boneseg.bundle.card import Card, CardData, library_versions
from boneseg.bundle.store import Bundle, save_bundle
from boneseg.dataset.fingerprint import joined
from boneseg.dataset.load import Film
from boneseg.evaluation.calibration import calibrated_threshold
from boneseg.evaluation.evaluate import evaluate_predictions
from boneseg.evaluation.scores import Summary
from boneseg.preprocessing import Preparation
from boneseg.recipes.recipe import SettledRecipe
from boneseg.training.collapse_guard import predict
from boneseg.training.history import Check, history_figures
from boneseg.training.tensors import prepare_films


@dataclass(frozen=True)
class Assessment:
    """The card of a run's bundle, with the masks and scores of the validation films."""

    card: Card
    summary: Summary
    masks: tuple[NDArray[np.bool_], ...]  # H x W on each film's own grid


@dataclass(frozen=True)
class TrainedRun:
    """The result of a run: the network with its best weights, and the run's history."""

    network: nn.Module  # with the best weights, on the CPU
    recipe: SettledRecipe  # with what was derived from the films
    fingerprint: str  # digest of the films
    best_dice: float  # validation Dice at working size
    restarts: int  # after a collapse
    depths: dict[int, float]  # U-Net++: validation Dice when pruned to each depth
    history: tuple[Check, ...]  # validation checks, in order
    training: tuple[Film, ...]  # films trained on
    validation: tuple[Film, ...]  # films held out
    seen_before: frozenset[str] = frozenset()  # digests of the films of the warm-start bundle

    def save(self, path: Path | str) -> Bundle:
        """Save the model as a bundle, its threshold calibrated on the validation films.

        Raises OutputError.
        """
        return save_bundle(Path(path), self.network, self.assess().card)

    def assess(self) -> Assessment:
        """Calibrate the threshold on the validation films and score them with it."""
        size = self.recipe.prepare
        preparation = Preparation(size.height, size.width)
        prepared = prepare_films(self.validation, preparation)
        grids = predict(self.network, prepared.films).numpy()[:, 0]
        pairs = zip(grids, prepared.places, strict=True)
        found = [preparation.restore(grid, place) for grid, place in pairs]
        at = calibrated_threshold(found, [film.mask for film in self.validation])
        masks = tuple(np.asarray(probability >= at, np.bool_) for probability in found)
        summary = evaluate_predictions(
            (
                (film.case.name, mask, film.mask, film.radiograph.spacing_mm)
                for film, mask in zip(self.validation, masks, strict=True)
            ),
            [film.case.group for film in self.validation],
        )
        return Assessment(self._card(preparation, at, summary), summary, masks)

    def _card(self, preparation: Preparation, threshold: float, summary: Summary) -> Card:
        digests = (film.digest for film in (*self.training, *self.validation))
        return Card(
            architecture=self.recipe.network.model_dump(mode="json"),
            height=preparation.height,
            width=preparation.width,
            threshold=threshold,
            metrics={name: float(value) for name, value in summary.mean.items()},
            restarts=self.restarts,
            data=CardData(
                fingerprint=self.fingerprint,
                training=len(self.training),
                validation=len(self.validation),
                seen=tuple(joined(digests, self.seen_before)),
            ),
            recipe=self.recipe.model_dump(mode="json"),
            versions=library_versions(),
        )

    def __repr__(self) -> str:
        films = f"{len(self.training)} + {len(self.validation)} films"
        return (
            f"TrainedRun(Dice {self.best_dice:.4f}, {films}, {counted(self.restarts, 'restart')})"
        )

    def _repr_html_(self) -> str:
        films = counted(len(self.validation), "validation film")
        words = (
            f"<p>Dice {self.best_dice:.4f} on {films} at working size; "
            f"trained on {len(self.training)}; {counted(self.restarts, 'restart')}</p>"
        )
        return frame(words + history_figures(self.history))
