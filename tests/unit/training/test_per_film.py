"""Values that each film has for itself: PyTorch's functions take one film after another."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from boneseg.errors import UsageError
from boneseg.training.per_film import PerFilm, parts_of

FILMS = [torch.full((1, 2, 4, 4), float(film)) for film in (1, 2, 3)]


def parts(value: Tensor) -> tuple[Tensor, ...]:
    assert isinstance(value, PerFilm)
    return value.parts


def test_it_has_the_shape_of_one_film() -> None:
    films = PerFilm(FILMS)
    assert films.shape == (1, 2, 4, 4)
    assert (len(films), films.dtype, films.device.type) == (1, torch.float32, "cpu")


def test_functions_operators_and_indices_take_one_film_after_another() -> None:
    films = PerFilm(FILMS)
    found = functional.relu(2 * films[..., :1, :1] - torch.tensor(3.0), inplace=True)
    assert [part.tolist() for part in parts(found.flatten()[0])] == [0.0, 1.0, 3.0]


def test_films_are_joined_with_their_own_in_a_list() -> None:
    films = PerFilm(FILMS)
    found = torch.cat([films, films + 10], dim=1)
    assert [part[0, :, 0, 0].tolist() for part in parts(found)] == [
        [film, film, film + 10, film + 10] for film in (1.0, 2.0, 3.0)
    ]


def test_a_function_of_several_results_has_each_of_all_films() -> None:
    low, high = PerFilm(FILMS).split(1, dim=1)
    assert low.shape == high.shape == (1, 1, 4, 4)
    values, places = PerFilm(FILMS).max(dim=1)
    assert len(parts(values)) == len(parts(places)) == 3


def test_each_film_has_a_gradient_of_its_own() -> None:
    weight = PerFilm([torch.ones(1, requires_grad=True) for _ in FILMS])
    torch.autograd.backward(parts((weight * PerFilm(FILMS)).sum()))
    assert [part.grad.item() for part in weight.parts if part.grad is not None] == [32, 64, 96]


def test_parts_of_another_tensor_are_the_tensor() -> None:
    assert parts_of(PerFilm(FILMS)) == tuple(FILMS)
    assert parts_of(FILMS[0], 2) == (FILMS[0], FILMS[0])


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, films: Tensor) -> Tensor:
        return films * 2


def test_a_function_whose_gradient_pytorch_would_not_see_is_refused() -> None:
    with pytest.raises(UsageError, match=r"run\.batch_invariant: the network computes a part"):
        Doubled.apply(PerFilm(FILMS))
