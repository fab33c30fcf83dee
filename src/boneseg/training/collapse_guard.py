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
    parts = [network(part).float().sigmoid().cpu() for part in torch.split(films, batch)]
    return torch.cat(parts)


def mean_dice(probabilities: Tensor, masks: Tensor, at: float = 0.5) -> float:
    """Return the mean Dice of N x 1 x H x W on the working grid; 1 where both are empty."""
    found, truth = (probabilities >= at).flatten(1), masks.flatten(1)
    total = found.sum(1) + truth.sum(1)
    overlap = 2 * (found & truth).sum(1)
    return float(torch.where(total > 0, overlap / total.clamp_min(1), 1.0).mean())


def collapse(probabilities: Tensor, dice: float, constant: float) -> str:
    """Return what is wrong with these predictions, or ""."""
    if not torch.isfinite(probabilities).all():
        return "predictions are not finite"
    if dice == 1:  # even where no film shows bone
        return ""
    share = float((probabilities >= 0.5).float().mean())
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
