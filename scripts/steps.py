"""The steps of a training on pools of simulated films, resumed from its checkpoint.

`finetune_bundled.py`, `train_bones.py` and `train_outline.py` are such trainings.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from boneseg.training.augmentation import Augmenter, film_seeds
from boneseg.training.optimiser import update_average

EVERY = 50  # steps between checkpoints
WARM_UP = 50  # steps until the learning rate is at its highest
EMA = 0.997


class Films(Protocol):
    """What a training draws from: `simulated_pools.Pools`, for one."""

    def read_new(self) -> int:
        """Read the films that were finished since the last call; return the number of all."""

    def batch(self, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, list[str]]:
        """Films N x 1 x H x W, targets N x C x H x W, and the body part of each."""


@dataclass(frozen=True)
class Steps:
    """How long a training is, and how it learns.

    work: folder of the checkpoint. rate: of learning, at its highest. floor: the share of it that
    is left at the end. seed: of the films that are drawn. augment: of films and targets.
    """

    work: Path
    count: int
    batch: int
    rate: float
    floor: float
    seed: int
    augment: Augmenter


def resumed(
    saved: Path, network: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer
) -> int:
    """Restore a training from its checkpoint; return the steps it has had, 0 without one."""
    if not saved.exists():
        return 0
    state = torch.load(saved, weights_only=True)
    network.load_state_dict(state["network"])
    average.load_state_dict(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


def keep_checkpoint(
    saved: Path,
    step: int,
    network: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
) -> None:
    """Write the checkpoint of a training after so many steps, complete or not at all."""
    state = {"network": network.state_dict(), "average": average.state_dict()}
    state |= {"optimiser": optimiser.state_dict(), "step": step}
    torch.save(state, saved.with_suffix(".new"))
    saved.with_suffix(".new").replace(saved)


def train_steps(
    steps: Steps,
    pools: Films,
    network: nn.Module,
    average: nn.Module,
    trained: list[nn.Parameter],
    loss_of: Callable[[Tensor, Tensor, list[str]], Tensor],
) -> nn.Module:
    """Train some parameters of a network; return `average`, the moving average of its weights.

    loss_of: the loss of augmented films (N x 1 x H x W, channels last), targets (N x C x H x W) and
    the body part of each.
    """
    optimiser = torch.optim.AdamW(trained, steps.rate, weight_decay=0.01, fused=True)
    saved = steps.work / "checkpoint.pt"
    steps.work.mkdir(parents=True, exist_ok=True)
    first = resumed(saved, network, average, optimiser)
    mean = 0.0
    for step in range(first, steps.count):
        if step % EVERY == 0 or step == first:
            count = pools.read_new()
        films, targets, parts = pools.batch(steps.batch, np.random.default_rng([steps.seed, step]))
        seeds = film_seeds(steps.batch, torch.Generator().manual_seed(step))
        films, targets = steps.augment(films, targets, seeds)
        cosine = (1 + math.cos(math.pi * step / steps.count)) / 2
        for group in optimiser.param_groups:
            rising = steps.rate * min(1.0, (step + 1) / WARM_UP)
            group["lr"] = rising * (steps.floor + (1 - steps.floor) * cosine)
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(films.contiguous(memory_format=torch.channels_last), targets, parts)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 5.0)
        optimiser.step()
        update_average(average, network, step + 1, EMA)
        mean += max(0.02, 1 / (step - first + 1)) * (float(loss.detach()) - mean)
        if (step + 1) % EVERY == 0 or step + 1 == steps.count:
            print(f"{step + 1} steps, {count} films, loss {mean:.4f}", flush=True)
            keep_checkpoint(saved, step + 1, network, average, optimiser)
    return average.eval()
