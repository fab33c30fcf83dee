"""Which films a training step takes: every film in turn, or rare body parts more often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor


def balancing_weights(parts: Sequence[str | None], balance: float) -> Tensor:
    """How often a film of each part is due in an epoch: float32, of mean 1.

    With balance 0 every film once; with 1 every part as often as the others, however few its films.
    """
    counts = Counter(parts)
    weights = torch.tensor([counts[part] ** -balance for part in parts])
    return weights / weights.mean() if balance else torch.ones(len(parts))


def order(seed: int, step: int, weights: Tensor, batch: int) -> Tensor:
    """Which films make up a step, in an order drawn anew for each epoch.

    weights: how often each film is due in an epoch, of mean 1; where all are 1, each comes once.
    """
    count = len(weights)
    wanted = range(step * batch, (step + 1) * batch)
    orders = {
        epoch: _epoch(seed * 2**20 + epoch, weights) for epoch in {i // count for i in wanted}
    }
    return torch.stack([orders[index // count][index % count] for index in wanted])


def _epoch(seed: int, weights: Tensor) -> Tensor:
    """As many films as there are, each as often as its weight says but for less than once."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(weights), generator=generator)
    if bool((weights == 1).all()):
        return shuffled
    ends = weights[shuffled].cumsum(0).double()
    start = torch.rand((), generator=generator, dtype=torch.float64)
    points = (torch.arange(len(weights)) + start) * ends[-1] / len(weights)
    drawn = shuffled[torch.searchsorted(ends, points).clamp_max(len(weights) - 1)]
    return drawn[torch.randperm(len(weights), generator=generator)]
