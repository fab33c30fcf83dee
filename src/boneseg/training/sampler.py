"""Sampling of the films of a training step: uniform, or balanced over body parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor


def balancing_weights(parts: Sequence[str | None], balance: float) -> Tensor:
    """Return the expected draws of each film per epoch: float32, mean 1.

    With balance 0 every film is drawn once; with 1 every part equally often.
    """
    counts = Counter(parts)
    weights = torch.tensor([counts[part] ** -balance for part in parts])
    return weights / weights.mean() if balance else torch.ones(len(parts))


def films_of_step(seed: int, step: int, weights: Tensor, batch: int) -> Tensor:
    """Return the indices of the films in a step; every epoch has a new random order.

    weights: expected draws of each film per epoch, mean 1; where all are 1, each is drawn once.
    """
    count = len(weights)
    wanted = range(step * batch, (step + 1) * batch)
    orders = {
        epoch: _epoch(seed * 2**20 + epoch, weights) for epoch in {i // count for i in wanted}
    }
    return torch.stack([orders[index // count][index % count] for index in wanted])


def _epoch(seed: int, weights: Tensor) -> Tensor:
    """Draw one epoch of films, each as often as its weight, rounded up or down."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(weights), generator=generator)
    if bool((weights == 1).all()):
        return shuffled
    ends = weights[shuffled].cumsum(0).double()
    start = torch.rand((), generator=generator, dtype=torch.float64)
    points = (torch.arange(len(weights)) + start) * ends[-1] / len(weights)
    drawn = shuffled[torch.searchsorted(ends, points).clamp_max(len(weights) - 1)]
    return drawn[torch.randperm(len(weights), generator=generator)]
