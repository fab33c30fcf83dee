"""What the verdict network is shown: a film and a model's predictions, on a small grid.

seen = evidence(grid, place, views, threshold)
seen.maps        # float32 5 x SIDE x SIDE
seen.facts       # float32 len(FACTS)
certainty(seen)  # 0.97: how sure the model is of its mask
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from boneseg.inference.agreement import agreement
from boneseg.inference.outline import grown
from boneseg.preprocessing import Floats, Placement, locally_normalised, resize, standardised

SIDE = 96  # px; the aspect ratio is not kept, but is one of the facts
MAPS = ("film", "normalised film", "probability", "mask", "difference of views")
FACTS = ("log2 of width / height", "share of bone", "uncertainty", "agreement", "several views")
BAND = 4  # px beside bone within which certainty counts what is left out
PROBABILITY, MASK = MAPS.index("probability"), MAPS.index("mask")
_RANGE = 3.0  # standard deviations of a film that are kept


@dataclass(frozen=True)
class Evidence:
    """A film and a model's predictions: float32 len(MAPS) x SIDE x SIDE, and len(FACTS)."""

    maps: Floats
    facts: Floats


@dataclass(frozen=True)
class Predictions:
    """Maps of a film on one grid, float32 H x W, from which evidence is made.

    film: of any scale. mask: the share of each pixel that is bone. difference: between the highest
    and the lowest probability of the views; None for a single view.
    """

    film: Floats
    probability: Floats
    mask: Floats
    difference: Floats | None
    agreement: float = 1.0

    def evidence(self, aspect: float) -> Evidence:
        """The evidence. aspect: width of the film divided by its height, in mm."""
        film = standardised(_small(self.film))
        probability, mask = _small(self.probability), _small(self.mask)
        difference = np.zeros_like(mask) if self.difference is None else _small(self.difference)
        maps = [
            np.clip(film, -_RANGE, _RANGE),
            np.clip(locally_normalised(film), -_RANGE, _RANGE),
            2 * probability - 1,
            2 * mask - 1,
            2 * difference,
        ]
        facts = [
            math.log2(aspect),
            float(mask.mean()),
            float(4 * (probability * (1 - probability)).mean()),
            10 * (self.agreement - 0.95) if self.difference is not None else 0.0,
            float(self.difference is not None),
        ]
        return Evidence(np.stack(maps), np.array(facts, np.float32))


def predictions(grid: Floats, place: Placement, views: Floats, threshold: float) -> Predictions:
    """The predictions of a model for a film on its working grid, float32 H x W.

    views: float32 K x H x W, the calibrated probability of each member and augmentation.
    """
    rows = slice(place.top, place.top + place.height)
    columns = slice(place.left, place.left + place.width)
    mean = views.mean(axis=0)
    several = len(views) > 1
    return Predictions(
        grid[rows, columns],
        mean[rows, columns],
        (mean >= threshold)[rows, columns].astype(np.float32),
        np.ptp(views, axis=0)[rows, columns] if several else None,
        agreement(views, threshold) if several else 1.0,
    )


def certainty(seen: Evidence) -> float:
    """How sure a model is of its mask, in [0, 1].

    The mean of two probabilities: of bone inside the mask, and of none in a band beside it. Of a
    calibrated model it is about the balanced score of the mask.
    """
    probability, mask = (seen.maps[PROBABILITY] + 1) / 2, (seen.maps[MASK] + 1) / 2
    inside, beside = mask > 0.99, grown(mask > 0.3, BAND) & (mask < 0.01)
    found = float(probability[inside].mean()) if inside.any() else 0.5  # thin bones, or none
    left_out = 1 - float(probability[beside].mean()) if beside.any() else 1.0
    return (found + left_out) / 2


def _small(pixels: Floats) -> Floats:
    return np.clip(resize(pixels, (SIDE, SIDE)), pixels.min(), pixels.max())
