"""Predictions on the validation films, and detection of a collapsed network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# A network stuck at all bone except the corners is slightly better than the constant mask.
MARGIN = 0.05  # fraction of the gap between the best constant mask's Dice and 1


@torch.no_grad()
def predict(network: nn.Module, films: Tensor, batch: int = 8) -> Tensor:
    """Return the probability of bone: float32 N x 1 x H x W on the CPU."""
    network.eval()
    if not len(films):
        return torch.empty(films.shape)
    parts = [network(part).float().sigmoid().cpu() for part in torch.split(films, batch)]
    return torch.cat(parts)


def film_figures(probabilities: Tensor, masks: Tensor) -> Tensor:
    """Figures of the predictions of N films on the working grid: float64 N x 3.

    They are the Dice, 1 where film and prediction are empty; the share found to be bone; and
    whether all probabilities are finite, 1 or 0.
    """
    found, truth = (probabilities >= 0.5).flatten(1), masks.flatten(1)
    total = found.sum(1) + truth.sum(1)
    overlap = 2 * (found & truth).sum(1)
    dice = torch.where(total > 0, overlap / total.clamp_min(1), 1.0)
    finite = probabilities.isfinite().flatten(1).all(1)
    return torch.stack([dice, found.float().mean(1), finite], 1).double()


def mean_dice(probabilities: Tensor, masks: Tensor) -> float:
    """Return the mean Dice of N x 1 x H x W on the working grid; 1 where both are empty."""
    return float(film_figures(probabilities, masks)[:, 0].mean())


def collapse(figures: Tensor, constant: float) -> str:
    """Return what is wrong with predictions of these `film_figures`, or ""."""
    dice, share, finite = figures.mean(0).tolist()
    if finite < 1:
        return "predictions are not finite"
    if dice == 1:  # even where no film shows bone
        return ""
    if share < 1e-4:
        return "all background"
    if share > 1 - 1e-4:
        return "all bone"
    beaten = dice > constant + MARGIN * (1 - constant)
    return "" if beaten else "no better than a constant mask"


def constant_dice(masks: Tensor) -> float:
    """Return the Dice of the better of the two constant masks, all bone and all background."""
    full = torch.ones(masks.shape)
    return max(mean_dice(full, masks), mean_dice(full * 0, masks))
