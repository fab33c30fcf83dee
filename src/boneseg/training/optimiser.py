"""The optimiser, its learning-rate schedule, and the moving average of the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from boneseg.recipes.settings import OptimiserSettings


@dataclass
class Plateau:
    """Reduce on plateau: scale the rate by a factor after epochs without improvement."""

    scale: float = 1.0
    best: float = -1.0
    waited: int = 0

    def seen(self, dice: float, settings: OptimiserSettings, passed: int) -> None:
        """Record the Dice of a check, `passed` epochs after the previous one."""
        if dice > self.best + 1e-4:
            self.best, self.waited = dice, 0
            return
        falls, self.waited = divmod(self.waited + passed, settings.plateau_patience)
        self.scale *= settings.plateau_factor**falls


def rate(settings: OptimiserSettings, done: float, plateau: Plateau) -> float:
    """Return the learning rate at the fraction `done` in [0, 1] of the run.

    After a linear warm-up: "cosine" (Loshchilov and Hutter, 2017, without restarts), "poly" (power
    0.9; Chen et al., DeepLab, 2018), "plateau" or "constant".
    """
    highest = settings.learning_rate
    if done < settings.warmup:
        return highest * max(0.01, done / settings.warmup)
    left = 1 - min(1.0, (done - settings.warmup) / (1 - settings.warmup))
    if settings.schedule == "cosine":
        return highest * max(1e-3, 0.5 * (1 - math.cos(math.pi * left)))
    if settings.schedule == "poly":
        return highest * max(1e-3, float(left**0.9))
    return highest * plateau.scale


def build_optimiser(network: nn.Module, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """Build the optimiser of a network's weights, at the peak learning rate."""
    s, parameters = settings, network.parameters()
    if s.name == "sgd":
        ahead, decay = s.momentum > 0, s.weight_decay  # torch has no Nesterov without momentum
        return torch.optim.SGD(
            parameters, s.learning_rate, s.momentum, weight_decay=decay, nesterov=ahead
        )
    if s.name == "adam":
        return torch.optim.Adam(parameters, s.learning_rate, fused=True)
    return torch.optim.AdamW(parameters, s.learning_rate, weight_decay=s.weight_decay, fused=True)


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, step: int, ema: float) -> None:
    """Update the EMA of the weights: fast at first, then over 1 / (1 - ema) steps."""
    decay = min(ema, (1 + step) / (10 + step)) if ema else 0.0
    pairs = list(zip(_tensors(average), _tensors(network), strict=True))
    ours, theirs = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
    get_ema_multi_avg_fn(decay)(ours, theirs, 0)  # type: ignore[no-untyped-call]
    for our, their in pairs:
        if not our.is_floating_point():  # num_batches_tracked of a norm
            our.copy_(their)


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def slots(optimiser: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """Return the optimiser's state tensors by parameter index, for a checkpoint."""
    state: dict[int, dict[str, Any]] = optimiser.state_dict()["state"]
    return {
        str(number): {name: value for name, value in slot.items() if isinstance(value, Tensor)}
        for number, slot in state.items()
    }


def restore_slots(optimiser: torch.optim.Optimizer, saved: dict[str, dict[str, Tensor]]) -> None:
    """Restore the state returned by `slots`."""
    state = {int(number): _laid_as_the_weights(slot) for number, slot in saved.items()}
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def _laid_as_the_weights(slot: dict[str, Tensor]) -> dict[str, Tensor]:
    """Match the memory layout of the weights, as a fused optimiser requires."""
    laid = torch.channels_last
    return {
        name: value.contiguous(memory_format=laid) if value.dim() == 4 else value
        for name, value in slot.items()
    }
