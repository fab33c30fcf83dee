"""The processes that train one network, and what they say to one another.

    ranks = Ranks()                       # this process alone: every call returns at once
    films = ranks.share(films)            # this process's part of a batch
    ranks.add([loss, *gradients])         # in place, the sum over all processes

Every process computes the gradient of its films' part of the loss, and the sum of the parts is the
gradient of the whole batch. The sums are made in the same order at every step, also after a
resumption, which the buckets of PyTorch's DistributedDataParallel do not guarantee: they follow the
order in which gradients were ready at the first step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, distributed

from boneseg.errors import TrainingError
from boneseg.training.device import training_device

LOST = "another process of this training ended or cannot be reached; continue with --resume"


@dataclass(frozen=True)
class Ranks:
    """This process among those of a training. rank: 0 leads; device: of this process."""

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=training_device)

    @property
    def leads(self) -> bool:
        """Whether this process writes the files, and reports."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        return self.count == 1

    def share(self, items: Tensor) -> Tensor:
        """This process's part of N items: consecutive ones, N / count rounded up or down."""
        return items.tensor_split(self.count)[self.rank]

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors, all float32, by their sums over all processes."""
        if self.alone:
            return
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
        parts = torch.split(self.total(flat), [tensor.numel() for tensor in tensors])
        with torch.no_grad():
            for tensor, part in zip(tensors, parts, strict=True):
                tensor.copy_(part.view(tensor.shape))

    def added_in_order(self, rows: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """The sums of the rows of all processes, added one after the other.

        rows: the same dense tensors of one dtype in each. Sums have their layout in memory.
        """
        sizes = [tensor.numel() for tensor in rows[0]]
        whole = rows[0][0].new_zeros(sum(sizes))
        sums = [
            part.as_strided(tensor.shape, tensor.stride())
            for part, tensor in zip(torch.split(whole, sizes), rows[0], strict=True)
        ]
        for rank in range(self.count):
            if rank == self.rank:
                for row in rows:
                    for total, tensor in zip(sums, row, strict=True):
                        total += tensor
            self.spread(whole, rank)
        return sums

    def gathered(self, rows: Tensor, count: int) -> Tensor:
        """The rows of all processes, `count` in all, from each process's `share` of them."""
        whole = rows.new_zeros((count, *rows.shape[1:]), device=self.device)
        self.share(whole).copy_(rows)
        return self.total(whole).to(rows.device)

    def agreed(self, value: float) -> float:
        """The value of the process that leads."""
        mine = torch.tensor([value if self.leads else 0.0], dtype=torch.float64)
        return float(self.total(mine.to(self.device)))

    def check_equal(self, text: str) -> None:
        """Raise TrainingError if a process describes the training in another text."""
        digest = hashlib.sha256(text.encode(errors="surrogateescape")).digest()
        mine = torch.tensor([list(digest)], dtype=torch.float64)
        rows = self.gathered(mine, self.count)
        different = (rows != rows[0]).any(1).nonzero().flatten().tolist()
        if different:
            raise TrainingError(
                f"process {different[0]} has other films, settings or progress than process 0; "
                "give all machines the same data, options, version and shared --out folder"
            )

    def total(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all processes, in place. Raises TrainingError if one is lost."""
        if not self.alone:
            with collective():
                distributed.all_reduce(tensor)
        return tensor

    def spread(self, tensor: Tensor, rank: int) -> None:
        """Replace a tensor by that of one of the processes. Raises as `total`."""
        if not self.alone:
            with collective():
                distributed.broadcast(tensor, rank)


@contextmanager
def collective() -> Iterator[None]:
    """Around what processes do together: raise TrainingError if one of them is lost."""
    try:
        yield
    except RuntimeError:  # which torch raises; the text is for developers
        raise TrainingError(LOST) from None
