"""The losses by name, and weighted sums of them.

A loss takes logits and a target of 0 or 1 (both float N x 1 x H x W), then its parameters, which
are floats with defaults, and returns a scalar: a mean over films, or it can be used on one device
only. It is computed in float32. In a recipe, `loss.NAME` is its weight and `loss.NAME_PARAMETER` a
parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import signature
from typing import Concatenate

import torch
from torch import Tensor, nn
from torch.nn import functional

from boneseg._util.registry import Registry
from boneseg.networks import Network
from boneseg.networks.inputs import WithInputs
from boneseg.recipes.settings import LossSettings

Loss = Callable[Concatenate[Tensor, Tensor, ...], Tensor]

LOSSES: Registry[Loss] = Registry("loss")


@cache
def parameters(name: str) -> dict[str, float]:
    """The defaults of a loss's parameters by their keys in a recipe, such as "focal_gamma"."""
    _, _, *others = signature(LOSSES[name]).parameters.values()
    return {f"{name}_{parameter.name}": float(parameter.default) for parameter in others}


@LOSSES.register("dice")
def dice_loss(logits: Tensor, target: Tensor, smooth: float = 1.0) -> Tensor:
    """1 − soft Dice of each film, averaged.

    After Milletari et al., V-Net, 2016, who square the terms of the denominator. `smooth` (px) is
    added to numerator and denominator: it defines the loss of an empty film, and a large value
    weakens the gradient of a small bone.
    """
    probability = logits.float().sigmoid().flatten(1)
    target = target.float().flatten(1)
    overlap = (probability * target).sum(1)
    total = probability.sum(1) + target.sum(1)
    return (1 - (2 * overlap + smooth) / (total + smooth).clamp_min(1e-7)).mean()


@LOSSES.register("bce")
def bce_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy, averaged over pixels."""
    return functional.binary_cross_entropy_with_logits(logits.float(), target.float())


@LOSSES.register("focal")
def focal_loss(logits: Tensor, target: Tensor, gamma: float = 2.0, alpha: float = 0.25) -> Tensor:
    """−α_t (1 − p_t)^γ log p_t, averaged over pixels (Lin et al., 2017, eq. 5)."""
    logits, target = logits.float(), target.float()
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    # 1 − p_t; kept above 0, where a power below 1 has no finite gradient
    missed = (target - logits.sigmoid()).abs().clamp_min(1e-12)
    weight = target * alpha + (1 - target) * (1 - alpha)
    return (weight * missed**gamma * cross_entropy).mean()


def total_loss(logits: Tensor, target: Tensor, settings: LossSettings) -> Tensor:
    """The weighted sum of losses set by a recipe."""
    total = logits.new_zeros((), dtype=target.dtype)
    for name, loss in LOSSES.items():
        weight = settings.value(name, 0.0)
        if weight:
            values = (settings.value(key, default) for key, default in parameters(name).items())
            total = total + weight * loss(logits, target, *values)
    return total


def losses_of_whole_batches(settings: LossSettings) -> list[str]:
    """The losses in use that are not a mean over films, so that no batch can be divided."""
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 1, 8, 8, generator=draw)
    target = torch.rand(3, 1, 8, 8, generator=draw) < torch.tensor([0.1, 0.3, 0.8]).view(3, 1, 1, 1)
    target = target.float()
    found = []
    for name, loss in LOSSES.items():
        values = [settings.value(key, default) for key, default in parameters(name).items()]
        if settings.value(name, 0.0):
            whole = loss(logits, target, *values)
            parts = [loss(logits[n : n + 1], target[n : n + 1], *values) for n in range(3)]
            if not torch.allclose(whole, torch.stack(parts).mean(), rtol=1e-4):
                found.append(name)
    return found


class Objective(nn.Module):
    """A network and its loss as one module: films and masks, both N x 1 x H x W, to a scalar.

    Both are padded to a multiple of the network's stride; otherwise its coarse outputs, which cover
    the padding, would be compared with a stretched mask. Input layers (copies, filters) get the
    film unpadded, as at inference.
    """

    def __init__(self, network: nn.Module, settings: LossSettings) -> None:
        super().__init__()
        self.network, self.settings = network, settings

    def forward(self, films: Tensor, masks: Tensor) -> Tensor:
        network = self.network
        if isinstance(network, WithInputs):
            films, network = network.inputs(films), network.network
        stride = network.stride if isinstance(network, Network) else 1
        padding = (0, -films.shape[-1] % stride, 0, -films.shape[-2] % stride)
        if any(padding):
            films, masks = functional.pad(films, padding), functional.pad(masks, padding)
        outputs = network(films)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        return supervised_loss(outputs, masks, self.settings)


def supervised_loss(outputs: list[Tensor], target: Tensor, settings: LossSettings) -> Tensor:
    """`total_loss` of every output, finest first, with weights 1, ½, ¼ … by size, normalised to 1.

    The coarse target is the fraction of bone in each coarse pixel, thresholded at one half. Outputs
    of the same size (U-Net++) have equal weights.
    """
    weights = [output.shape[-1] / outputs[0].shape[-1] for output in outputs]
    loss = target.new_zeros(())
    for output, weight in zip(outputs, weights, strict=True):
        coarse = target
        if output.shape[-2:] != target.shape[-2:]:
            coarse = functional.interpolate(target, output.shape[-2:], mode="area")
            coarse = (coarse >= 0.5).to(target.dtype)
        loss = loss + weight / sum(weights) * total_loss(output, coarse, settings)
    return loss
