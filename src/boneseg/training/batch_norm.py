"""Batch norm in training, over the films of all processes.

Each process normalises its part of a batch by the statistics of the whole, so that the results are
those of one process with the whole batch. PyTorch's own SyncBatchNorm needs GPUs; and its batch
norm on CPUs adds up pixel after pixel, so that statistics of a large grid are off by 1e-5, enough
for two trainings to part within a few steps.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from boneseg.training.ranks import Ranks


def replace_norms(network: nn.Module, ranks: Ranks) -> nn.Module:
    """Replace the batch norms of a network, in place; weights and their names stay."""
    if ranks.device.type == "cuda":
        if ranks.alone:
            return network
        whole: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return whole
    if isinstance(network, nn.BatchNorm2d):
        return BatchNorm(network, ranks)
    for name, layer in network.named_children():
        setattr(network, name, replace_norms(layer, ranks))
    return network


class BatchNorm(nn.BatchNorm2d):
    """A BatchNorm2d over the films of all processes, on CPUs, with the weights of `norm`."""

    def __init__(self, norm: nn.BatchNorm2d, ranks: Ranks) -> None:
        tracked = norm.track_running_stats
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine, tracked)
        self._ranks = ranks
        for name, tensor in (*norm.named_parameters(), *norm.named_buffers()):
            setattr(self, name, tensor)
        self.train(norm.training)

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or (self._ranks.alone and input.dtype != torch.float32):
            return super().forward(input)
        precise = torch.promote_types(input.dtype, torch.float32)
        ones = torch.ones(self.num_features, dtype=precise)
        weight = ones if self.weight is None else self.weight
        bias = 0 * ones if self.bias is None else self.bias
        output, mean, var, count = _Normalised.apply(  # type: ignore[no-untyped-call]
            input, weight, bias, self.eps, self._ranks
        )
        if self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
                passed = float(self.num_batches_tracked)  # type: ignore[arg-type]
                share = 1 / passed if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean, share)
                self.running_var.lerp_(var * (count / (count - 1)), share)
        found: Tensor = output
        return found


def _mean(pixels: Tensor) -> Tensor:
    """The mean of N x C over N, from those of groups: see the module."""
    group = math.gcd(len(pixels), 512)
    return pixels.view(-1, group, pixels.shape[1]).mean(1).mean(0)


class _Context(Protocol):
    """What PyTorch keeps from a forward pass for the backward pass."""

    ranks: Ranks
    eps: float
    saved_tensors: tuple[Tensor, ...]

    def save_for_backward(self, *tensors: Tensor) -> None: ...
    def mark_non_differentiable(self, *tensors: Tensor) -> None: ...


class _Normalised(torch.autograd.Function):
    """Films normalised by the mean and variance over all processes, which it also returns."""

    @staticmethod
    def forward(
        ctx: _Context, films: Tensor, weight: Tensor, bias: Tensor, eps: float, ranks: Ranks
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        pixels = films.permute(0, 2, 3, 1).flatten(0, 2).to(weight.dtype)
        mean = _mean(pixels)
        var = _mean((pixels - mean).square_())
        mine = torch.stack([torch.full_like(mean, len(pixels)), mean, var])
        counts, means, variances = ranks.gathered(mine[None], ranks.count).unbind(1)
        count = counts.sum(0)
        mean = (counts * means).sum(0) / count
        var = (counts * (variances + (means - mean) ** 2)).sum(0) / count  # Chan et al., 1979
        ctx.ranks, ctx.eps = ranks, eps
        ctx.save_for_backward(films, weight, mean, var, count)
        ctx.mark_non_differentiable(mean, var, count)
        return functional.batch_norm(films, mean, var, weight, bias, eps=eps), mean, var, count

    @staticmethod
    def backward(
        ctx: _Context, gradient: Tensor, *_: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """As of given statistics, and then through them (Ioffe and Szegedy, 2015, section 3)."""
        films, weight, mean, var, count = ctx.saved_tensors
        alone, inverse = ctx.ranks.alone, torch.rsqrt(var + ctx.eps)
        of_films, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, films, weight, mean, var, mean, inverse, alone, ctx.eps, [True, True, True]
        )
        if alone:
            return of_films, of_weight, of_bias, None, None
        of_all = ctx.ranks.total(torch.stack([of_weight, of_bias])) / count
        slope = -weight * inverse**2 * of_all[0]
        constant = -weight * inverse * of_all[1] - slope * mean
        of_films += constant.to(of_films.dtype).view(-1, 1, 1)
        of_films.addcmul_(films, slope.to(of_films.dtype).view(-1, 1, 1))
        return of_films, of_weight, of_bias, None, None
