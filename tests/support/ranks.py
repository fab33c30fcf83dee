"""The processes of a training as threads of one process: quick to start, and with the same sums."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier
from typing import TypeVar

import torch
from torch import Tensor

from boneseg.training.ranks import Ranks

T = TypeVar("T")


@dataclass
class Table:
    """Where the threads lay what they add up."""

    barrier: Barrier
    laid: dict[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class ThreadRanks(Ranks):
    table: Table = field(default_factory=lambda: Table(Barrier(1)))

    def total(self, tensor: Tensor) -> Tensor:
        self.table.laid[self.rank] = tensor.clone()
        self.table.barrier.wait(30)
        tensor.copy_(sum(self.table.laid[rank] for rank in range(self.count)))
        self.table.barrier.wait(30)
        return tensor

    def spread(self, tensor: Tensor, rank: int) -> None:
        self.table.barrier.wait(30)
        if self.rank == rank:
            self.table.laid[rank] = tensor.clone()
        self.table.barrier.wait(30)
        tensor.copy_(self.table.laid[rank])


def together(count: int, work: Callable[[Ranks], T]) -> list[T]:
    """The results of `work` in `count` threads, by rank."""
    table, cpu = Table(Barrier(count)), torch.device("cpu")
    with ThreadPoolExecutor(count) as pool:
        ranks = [ThreadRanks(rank, count, cpu, table) for rank in range(count)]
        return list(pool.map(work, ranks))
