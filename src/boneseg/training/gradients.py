"""The loss of a step and its gradients, of the films of all processes.

    loss = WholeBatch(objective, ranks, batch, arithmetic)(films, masks)

Each process computes them for its part of the films, and all hold the sums.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from boneseg.training.per_film import PerFilm, parts_of
from boneseg.training.ranks import Ranks


@dataclass(frozen=True)
class Gradients(ABC):
    """The gradients of `objective`, which maps films and masks to a loss.

    batch: films of a step, over all processes; arithmetic: the context of the forward pass.
    """

    objective: nn.Module
    ranks: Ranks
    batch: int
    arithmetic: Callable[[], AbstractContextManager[object]]

    @abstractmethod
    def __call__(self, films: Tensor, masks: Tensor) -> Tensor:
        """The loss of all films, a scalar; its gradients are set as `grad` of the weights.

        films, masks: those of this process, N x 1 x H x W.
        """


class WholeBatch(Gradients):
    """All films of a process at once: the sums are rounded as the films are divided."""

    def __call__(self, films: Tensor, masks: Tensor) -> Tensor:
        with self.arithmetic():
            loss: Tensor = self.objective(films, masks) * (len(films) / self.batch)
        torch.autograd.backward(loss)
        found = [weight.grad for weight in self.objective.parameters()]
        self.ranks.add([loss, *(gradient for gradient in found if gradient is not None)])
        return loss.detach()


class FilmByFilm(Gradients):
    """Each film by itself, and sums in the order of films: the same however films are divided.

    They meet in batch norm alone. For CPUs, and one thread: more divide the pixels of a film.
    """

    def __call__(self, films: Tensor, masks: Tensor) -> Tensor:
        weights = dict(self.objective.named_parameters())
        copies: dict[str, Tensor] = {
            name: PerFilm([weight.detach().requires_grad_(weight.requires_grad) for _ in films])
            for name, weight in weights.items()
        }
        with self.arithmetic():
            whole = functional_call(self.objective, copies, (_apart(films), _apart(masks)))
            losses = parts_of(whole / self.batch)
        torch.autograd.backward(losses)
        rows = [
            {
                name: part.grad
                for name, copy in copies.items()
                if (part := parts_of(copy)[film]).grad is not None
            }
            for film in range(len(films))
        ]
        loss, *gradients = self.ranks.added_in_order(
            [[loss.detach(), *row.values()] for loss, row in zip(losses, rows, strict=True)]
        )
        for name, gradient in zip(rows[0], gradients, strict=True):
            weights[name].grad = gradient
        return loss


def _apart(films: Tensor) -> PerFilm:
    """Films N x C x H x W by themselves, in memory as if there were no others."""
    alone = torch.contiguous_format
    return PerFilm([film.clone(memory_format=alone) for film in torch.split(films, 1)])
