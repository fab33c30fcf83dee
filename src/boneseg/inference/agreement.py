"""Agreement of several predictions for one film."""

from __future__ import annotations

import numpy as np

from boneseg.preprocessing import Floats


def agreement(views: Floats, threshold: float) -> float:
    """The agreement of predictions for one film: the mean Dice over all pairs of their masks.

    views: float32 K x H x W, the probabilities of the members on the film and its mirror image. 1
    if all masks are empty. The best predictor of a mask's true Dice in Roy et al., "Bayesian
    QuickNAT", 2019, under another name.
    """
    masks = (views >= threshold).reshape(len(views), -1)
    sizes = np.count_nonzero(masks, axis=1)
    common = np.array([np.count_nonzero(masks & one, axis=1) for one in masks])
    total = sizes[:, None] + sizes[None]
    dice = np.where(total > 0, 2 * common / np.maximum(total, 1), 1.0)
    return float(dice[np.triu_indices(len(views), 1)].mean())
