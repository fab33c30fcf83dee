"""Active learning: which film to correct next, by uncertainty and novelty.

    order = correction_order(candidates, labelled)

Uncertainty alone tends to pick similar films in a row. As in core-set selection (Sener and
Savarese, "Active learning for convolutional neural networks", 2018), each film is therefore also
rated by its distance from all labelled or already picked films; the two are multiplied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 24  # px of the thumbnail that films are compared by
RANKED = 50  # films ranked by both; the rest follow by uncertainty
FLOOR = 0.02  # floor of uncertainty and novelty, so that neither cancels the other


@dataclass(frozen=True)
class Candidate:
    """A film to be ranked: its trust in [0, 1], and its appearance."""

    id: str
    trust: float
    appearance: NDArray[np.float32]  # of `appearance`


def appearance(thumbnail: Path) -> NDArray[np.float32]:
    """A film's thumbnail as a unit vector, normalised for brightness and contrast."""
    try:
        with Image.open(thumbnail, formats=("PNG",)) as image:
            small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
            values = np.asarray(small, np.float32).ravel()
    except (OSError, ValueError):
        return np.zeros(SIDE * SIDE, np.float32)
    values = values - values.mean()
    norm = float(np.sqrt((values**2).sum()))
    return np.asarray(values / max(norm, 1e-6), np.float32)


def correction_order(
    candidates: Sequence[Candidate], labelled: Sequence[NDArray[np.float32]]
) -> list[str]:
    """The ids of the candidates, the most informative first.

    labelled: the appearance of the films with a saved mask.
    """
    if not candidates:
        return []
    seen = np.stack([candidate.appearance for candidate in candidates])
    uncertainty = np.array([FLOOR + 1 - c.trust for c in candidates], np.float32)
    novelty = np.ones(len(candidates), np.float32)
    if labelled:
        novelty = _distance(seen, np.stack(labelled)).min(axis=1)
    remaining, order = np.ones(len(candidates), bool), []
    for _ in range(min(RANKED, len(candidates))):
        best = int(np.argmax(np.where(remaining, uncertainty * (FLOOR + novelty), -1)))
        order.append(best)
        remaining[best] = False
        novelty = np.minimum(novelty, _distance(seen, seen[best : best + 1])[:, 0])
    rest = sorted(np.flatnonzero(remaining).tolist(), key=lambda index: -float(uncertainty[index]))
    return [candidates[index].id for index in (*order, *rest)]


def _distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """(1 - correlation) / 2, in [0, 1]."""
    return np.asarray((1 - np.clip(one @ other.T, -1, 1)) / 2, np.float32)
