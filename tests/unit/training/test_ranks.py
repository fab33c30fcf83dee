"""What the processes of a training say to one another; here they are threads."""

from __future__ import annotations

import math

import pytest
import torch

from boneseg.errors import TrainingError
from boneseg.training.ranks import Ranks
from tests.support.ranks import together


def test_a_process_alone_has_the_whole_batch() -> None:
    alone, films = Ranks(), torch.arange(5)
    assert torch.equal(alone.share(films), films)
    assert alone.agreed(2.5) == 2.5
    assert alone.leads


@pytest.mark.parametrize("count", [2, 3])
def test_shares_are_parts_of_the_batch_in_order(count: int) -> None:
    films = torch.arange(5)
    parts = together(count, lambda ranks: ranks.share(films))
    assert torch.equal(torch.cat(parts), films)
    assert {len(part) for part in parts} <= {5 // count, 5 // count + 1}


def test_rows_are_gathered_in_order_in_every_process() -> None:
    rows = torch.arange(10.0).view(5, 2)
    for found in together(3, lambda ranks: ranks.gathered(ranks.share(rows), 5)):
        assert torch.equal(found, rows)


def test_a_figure_that_is_not_finite_in_one_process_is_so_in_all() -> None:
    found = together(2, lambda ranks: ranks.gathered(torch.tensor([[math.nan]]), 2))
    assert all(rows.isnan().all() for rows in found)


def test_gradients_are_added_in_place() -> None:
    def work(ranks: Ranks) -> list[torch.Tensor]:
        loss, gradient = torch.tensor(1.0 + ranks.rank), torch.full((2, 3), 10.0 * ranks.rank)
        ranks.add([loss, gradient])
        return [loss, gradient]

    for loss, gradient in together(3, work):
        assert loss == 6
        assert torch.equal(gradient, torch.full((2, 3), 30.0))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_rows_are_added_in_their_order_on_any_number_of_processes(count: int) -> None:
    """In another order, they would be rounded to other values."""
    rows = torch.tensor([1e8, 3.0, 3.0, -1e8])

    def work(ranks: Ranks) -> list[torch.Tensor]:
        filters = torch.ones(2, 3, 2, 2).contiguous(memory_format=torch.channels_last)
        return ranks.added_in_order([[row, row * filters] for row in ranks.share(rows)])

    in_order = ((rows[0] + rows[1]) + rows[2]) + rows[3]
    assert in_order != rows.double().sum()
    for loss, gradient in together(count, work):
        assert loss == in_order
        assert torch.equal(gradient, torch.full((2, 3, 2, 2), float(in_order)))
        assert gradient.is_contiguous(memory_format=torch.channels_last)


def test_the_clock_of_the_first_process_counts() -> None:
    assert together(3, lambda ranks: ranks.agreed(100.0 + ranks.rank)) == [100.0] * 3


def test_a_process_with_other_films_is_named() -> None:
    def work(ranks: Ranks) -> str:
        try:
            ranks.check_equal("the films" if ranks.rank != 1 else "other films")
        except TrainingError as error:
            return str(error)
        return ""

    assert all(line.startswith("process 1 has other films") for line in together(3, work))
    together(2, lambda ranks: ranks.check_equal("the same"))
