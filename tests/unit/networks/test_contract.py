"""Every registered network keeps the contract of `networks.contract`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from boneseg.errors import UsageError
from boneseg.networks import NETWORKS, Network, build
from boneseg.recipes.network import SettledNetwork
from boneseg.recipes.settings import LossSettings
from boneseg.training.losses import Objective

WIDTHS = (4, 6, 8)


def network(name: str, **settings: object) -> nn.Module:
    torch.manual_seed(0)
    asked = {"architecture": name, "widths": WIDTHS, "norm": "instance", **settings}
    return build(SettledNetwork.model_validate(asked))


@pytest.fixture(params=NETWORKS)
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


@pytest.mark.parametrize("size", [(64, 96), (33, 70), (64, 17)])
@pytest.mark.parametrize("inputs", ["film", "copies", "filters"])
def test_films_of_any_size_give_logits_of_that_size(
    name: str, size: tuple[int, int], inputs: str
) -> None:
    made = network(name, inputs=inputs).eval()
    film = torch.randn(2, 1, *size)
    with torch.no_grad():
        logits = made(film)
    assert isinstance(logits, Tensor)
    assert logits.shape == film.shape
    assert logits.dtype == torch.float32
    assert bool(torch.isfinite(logits).all())


def test_each_film_of_a_batch_is_independent(name: str) -> None:
    made, films = network(name).eval(), torch.randn(3, 1, 64, 64)
    with torch.no_grad():
        together, alone = made(films), torch.cat([made(film[None]) for film in films])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("supervised", [True, False])
def test_in_training_the_finest_logits_come_first(name: str, supervised: bool) -> None:
    made = network(name, deep_supervision=supervised).train()
    films = torch.randn(2, 1, 64, 96)
    outputs = made(films)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    assert outputs[0].shape == films.shape
    sizes = [output.shape[-1] for output in outputs]
    assert sizes == sorted(sizes, reverse=True)
    assert all(output.shape[:2] == (2, 1) for output in outputs)


def test_every_weight_is_trained(name: str) -> None:
    made = network(name)
    masks = (torch.randn(2, 1, 50, 70) > 0).float()
    Objective(made, LossSettings())(torch.randn(2, 1, 50, 70), masks).backward()
    assert [key for key, weight in made.named_parameters() if weight.grad is None] == []


def test_equal_seeds_give_equal_weights(name: str) -> None:
    one, other = network(name).state_dict(), network(name).state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_its_stride_is_a_positive_number_of_pixels(name: str) -> None:
    made = network(name)
    assert isinstance(made, Network)
    assert made.stride >= 1


def test_it_can_be_exported(name: str) -> None:
    made = network(name).eval()
    program = torch.export.export(made, (torch.zeros(2, 1, 64, 64),))
    film = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        assert torch.allclose(program.module()(film), made(film), atol=1e-5)


def test_an_unknown_architecture_is_named() -> None:
    with pytest.raises(
        UsageError, match=r"no network 'unett' \(did you mean 'unet'\?\); choose from unet"
    ):
        network("unett")
