"""The optimisers by name, and the moving average of the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from boneseg._util.registry import Registry
from boneseg.recipes.settings import OptimiserSettings

OptimiserBuilder = Callable[[Iterable[nn.Parameter], OptimiserSettings], torch.optim.Optimizer]

OPTIMISERS: Registry[OptimiserBuilder] = Registry("optimiser")


@OPTIMISERS.register("adamw")
def adamw(parameters: Iterable[nn.Parameter], settings: OptimiserSettings) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""
    decay = settings.weight_decay
    return torch.optim.AdamW(parameters, settings.learning_rate, weight_decay=decay, fused=True)


@OPTIMISERS.register("adam")
def adam(parameters: Iterable[nn.Parameter], settings: OptimiserSettings) -> torch.optim.Optimizer:
    """Adam without weight decay (Kingma and Ba, 2015)."""
    return torch.optim.Adam(parameters, settings.learning_rate, fused=True)


@OPTIMISERS.register("sgd")
def sgd(parameters: Iterable[nn.Parameter], settings: OptimiserSettings) -> torch.optim.Optimizer:
    """SGD, with Nesterov momentum where `momentum` is above 0; weight decay is L2."""
    return torch.optim.SGD(
        parameters,
        settings.learning_rate,
        settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.momentum > 0,  # torch has no Nesterov without momentum
    )


def build_optimiser(network: nn.Module, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """Build the optimiser of a network's weights, at the peak learning rate.

    Raises UsageError for a name that is not registered.
    """
    return OPTIMISERS[settings.name](network.parameters(), settings)


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, step: int, ema: float) -> None:
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


def optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """Return the optimiser's state tensors by parameter index, for a checkpoint."""
    state: dict[int, dict[str, object]] = optimiser.state_dict()["state"]
    return {
        str(number): {name: value for name, value in slot.items() if isinstance(value, Tensor)}
        for number, slot in state.items()
    }


def restore_optimiser_state(
    optimiser: torch.optim.Optimizer, saved: dict[str, dict[str, Tensor]]
) -> None:
    """Restore the state returned by `optimiser_state`."""
    state = {int(number): _in_layout_of_weights(slot) for number, slot in saved.items()}
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def _in_layout_of_weights(slot: dict[str, Tensor]) -> dict[str, Tensor]:
    """Match the memory layout of the weights, as a fused optimiser requires."""
    laid = torch.channels_last
    return {
        name: value.contiguous(memory_format=laid) if value.dim() == 4 else value
        for name, value in slot.items()
    }
