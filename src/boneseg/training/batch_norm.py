"""Batch norm in training, over the films of all processes.

Each process normalises its part of a batch by the statistics of the whole, so that the results are
those of one process with the whole batch. They are combined from those of groups: the films of a
process, or each film where films are computed by themselves (`PerFilm`). PyTorch's own
SyncBatchNorm needs GPUs; and its batch norm on CPUs adds up pixel after pixel, so that statistics
of a large grid are off by 1e-5, enough for two trainings to part within a few steps.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from boneseg.training.per_film import PerFilm, parts_of
from boneseg.training.ranks import Ranks


def replace_norms(network: nn.Module, ranks: Ranks, groups: int) -> nn.Module:
    """Replace the batch norms of a network, in place; weights and their names stay.

    groups: of films in all processes: as many as processes, or as films in a step.
    """
    if ranks.device.type == "cuda":
        if ranks.alone:
            return network
        whole: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return whole
    if isinstance(network, nn.BatchNorm2d):
        return BatchNorm(network, ranks, groups)
    for name, layer in network.named_children():
        setattr(network, name, replace_norms(layer, ranks, groups))
    return network


class BatchNorm(nn.BatchNorm2d):
    """A BatchNorm2d over the films of all processes, on CPUs, with the weights of `norm`."""

    def __init__(self, norm: nn.BatchNorm2d, ranks: Ranks, groups: int) -> None:
        tracked = norm.track_running_stats
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, tracked)
        self._ranks, self._groups = ranks, groups
        for name, tensor in (*norm.named_parameters(), *norm.named_buffers()):
            setattr(self, name, tensor)
        self.train(norm.training)

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or (self._groups == 1 and input.dtype != torch.float32):
            return super().forward(input)
        films = parts_of(input)
        precise = torch.promote_types(input.dtype, torch.float32)
        ones = torch.ones(self.num_features, dtype=precise)
        weights = parts_of(ones if self.weight is None else self.weight, len(films))
        biases = parts_of(0 * ones if self.bias is None else self.bias, len(films))
        *outputs, mean, var, count = _Normalised.apply(  # type: ignore[no-untyped-call]
            self.eps, self._ranks, self._groups, *films, *weights, *biases
        )
        if self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
                passed = float(self.num_batches_tracked)  # type: ignore[arg-type]
                share = 1 / passed if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean, share)
                self.running_var.lerp_(var * (count / (count - 1)), share)
        found: Tensor = PerFilm(outputs) if isinstance(input, PerFilm) else outputs[0]
        return found


def _mean(pixels: Tensor) -> Tensor:
    """The mean of N x C over N, from those of groups: see the module."""
    group = math.gcd(len(pixels), 512)
    return pixels.view(-1, group, pixels.shape[1]).mean(1).mean(0)


def _statistics(films: Tensor, dtype: torch.dtype) -> Tensor:
    """The number of pixels, their mean and variance: 3 x C."""
    pixels = films.permute(0, 2, 3, 1).flatten(0, 2).to(dtype)
    mean = _mean(pixels)
    var = _mean((pixels - mean).square_())
    return torch.stack([torch.full_like(mean, len(pixels)), mean, var])


class _Context(Protocol):
    """What PyTorch keeps from a forward pass for the backward pass."""

    ranks: Ranks
    groups: int
    eps: float
    saved_tensors: tuple[Tensor, ...]

    def save_for_backward(self, *tensors: Tensor) -> None: ...
    def mark_non_differentiable(self, *tensors: Tensor) -> None: ...


class _Normalised(torch.autograd.Function):
    """Groups of films normalised by the mean and variance over all processes.

    They are followed by the weights and by the biases of each. It also returns mean, variance and
    the number of pixels.
    """

    @staticmethod
    def forward(
        ctx: _Context, eps: float, ranks: Ranks, groups: int, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        ours = len(tensors) // 3
        films, weights, biases = tensors[:ours], tensors[ours : 2 * ours], tensors[2 * ours :]
        mine = torch.stack([_statistics(each, weights[0].dtype) for each in films])
        counts, means, variances = ranks.gathered(mine, groups).unbind(1)
        count = counts.sum(0)
        mean = (counts * means).sum(0) / count
        var = (counts * (variances + (means - mean) ** 2)).sum(0) / count  # Chan et al., 1979
        ctx.ranks, ctx.groups, ctx.eps = ranks, groups, eps
        ctx.save_for_backward(*films, weights[0], mean, var, count)
        ctx.mark_non_differentiable(mean, var, count)
        outputs = (
            functional.batch_norm(each, mean, var, weight, bias, eps=eps)
            for each, weight, bias in zip(films, weights, biases, strict=True)
        )
        return *outputs, mean, var, count

    @staticmethod
    def backward(ctx: _Context, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """As of given statistics, and then through them (Ioffe and Szegedy, 2015, section 3)."""
        *films, weight, mean, var, count = ctx.saved_tensors
        inverse, alone = torch.rsqrt(var + ctx.eps), ctx.groups == 1
        given, wanted = (weight, mean, var, mean, inverse, alone, ctx.eps), [alone, True, True]
        pairs = list(zip(gradients, films, strict=False))  # no gradients of mean, var and count
        found = [torch.ops.aten.native_batch_norm_backward(*pair, *given, wanted) for pair in pairs]
        of_films, of_weights, of_biases = zip(*found, strict=True)
        if not alone:
            mine = torch.stack([torch.stack(of_weights), torch.stack(of_biases)], 1)
            of_all = ctx.ranks.gathered(mine, ctx.groups).sum(0) / count
            scale = weight * inverse
            slope = -scale * inverse * of_all[0]
            constant = -scale * of_all[1] - slope * mean
            scale, slope, constant = (each.view(-1, 1, 1) for each in (scale, slope, constant))
            of_films = tuple(
                torch.addcmul(constant, each, slope).addcmul_(upstream, scale).to(each.dtype)
                for upstream, each in pairs
            )
        return None, None, None, *of_films, *of_weights, *of_biases
