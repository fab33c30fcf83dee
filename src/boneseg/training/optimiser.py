"""The optimiser, its learning rate over a run, and the average of the weights it leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from boneseg.recipes.recipe import OptimiserSettings


@dataclass
class Plateau:
    """Reduce on plateau: the rate falls by a factor after so many epochs without a gain."""

    scale: float = 1.0
    best: float = -1.0
    waited: int = 0

    def seen(self, dice: float, settings: OptimiserSettings, passed: int) -> None:
        """Take in the Dice of a check, so many epochs after the one before it."""
        if dice > self.best + 1e-4:
            self.best, self.waited = dice, 0
            return
        falls, self.waited = divmod(self.waited + passed, settings.plateau_patience)
        self.scale *= settings.plateau_factor**falls


def rate(settings: OptimiserSettings, done: float, plateau: Plateau) -> float:
    """The learning rate when the share `done` in [0, 1] of the run is behind.

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
    """The optimiser of a network's weights, its rate at its highest."""
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
    """The averaged weights trail the network's: quickly at first, then over 1 / (1 - ema) steps."""
    decay = min(ema, (1 + step) / (10 + step)) if ema else 0.0
    pairs = list(zip(_tensors(average), _tensors(network), strict=True))
    ours, theirs = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
    get_ema_multi_avg_fn(decay)(ours, theirs, 0)  # type: ignore[no-untyped-call]
    for our, their in pairs:
        if not our.is_floating_point():  # how many batches a norm has seen
            our.copy_(their)


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def slots(optimiser: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """What it remembers of each weight, by the weight's number: for a checkpoint."""
    state: dict[int, dict[str, Any]] = optimiser.state_dict()["state"]
    return {
        str(number): {name: value for name, value in slot.items() if isinstance(value, Tensor)}
        for number, slot in state.items()
    }


def restore_slots(optimiser: torch.optim.Optimizer, saved: dict[str, dict[str, Tensor]]) -> None:
    """Give back what `slots` took."""
    state = {int(number): _laid_as_the_weights(slot) for number, slot in saved.items()}
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def _laid_as_the_weights(slot: dict[str, Tensor]) -> dict[str, Tensor]:
    """A fused optimiser walks through weights and slots in the order in which they are stored."""
    laid = torch.channels_last
    return {
        name: value.contiguous(memory_format=laid) if value.dim() == 4 else value
        for name, value in slot.items()
    }
