"""Gradients of a step: those of the whole batch, and where asked for the same on any devices."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch import Tensor

from boneseg.networks import build
from boneseg.training.batch_norm import replace_norms
from boneseg.training.gradients import FilmByFilm, Gradients, WholeBatch
from boneseg.training.losses import Objective
from boneseg.training.ranks import Ranks
from tests.support.ranks import together
from tests.support.training import recipe

BATCH = 3
NETWORKS = [
    ("network.norm=batch", "network.deep_supervision=true"),
    ("network.norm=batch", "network.stem=2", "network.attention=true"),
    ("network.norm=instance", "network.block=residual"),
    ("network.norm=none", "network.block=separable", "network.inputs=filters"),
    ("network.architecture=unetplusplus", "network.norm=batch", "network.deep_supervision=true"),
]


class Step:
    """One step of a network, by as many processes as one likes, on the same films."""

    def __init__(self, *settings: str, arithmetic: torch.dtype = torch.float32) -> None:
        self.recipe = recipe("network.levels=2", "network.width=4", *settings).settle([(64, 64)])
        torch.manual_seed(0)
        self.network = build(self.recipe.network)
        self.films = torch.randn(BATCH, 1, 32, 48)
        self.masks = (torch.rand(BATCH, 1, 32, 48) > 0.7).float()
        reduced = arithmetic == torch.bfloat16
        self.arithmetic = partial(torch.autocast, "cpu", torch.bfloat16, enabled=reduced)

    def __call__(self, kind: type[Gradients], ranks: Ranks) -> dict[str, Tensor]:
        """The loss, the gradients, and the statistics of batch norms."""
        own = copy.deepcopy(self.network).to(memory_format=torch.channels_last)
        network = replace_norms(own, ranks, BATCH if kind is FilmByFilm else ranks.count)
        objective = Objective(network, self.recipe.loss).train()
        gradients = kind(objective, ranks, BATCH, self.arithmetic)
        films, masks = ranks.share(self.films), ranks.share(self.masks)
        films = films.contiguous(memory_format=torch.channels_last)
        found = {"loss": gradients(films, masks)}
        found |= {name: weight.grad for name, weight in network.named_parameters()}
        return found | dict(network.named_buffers())


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("settings", "arithmetic"),
    [*((each, torch.float32) for each in NETWORKS), (NETWORKS[1], torch.bfloat16)],
    ids=str,
)
def test_film_by_film_gradients_are_the_same_on_any_number_of_devices(
    settings: tuple[str, ...], arithmetic: torch.dtype
) -> None:
    step = Step(*settings, arithmetic=arithmetic)
    (alone,) = together(1, partial(step, FilmByFilm))
    for count in (2, 3):
        for found in together(count, partial(step, FilmByFilm)):
            assert found.keys() == alone.keys()
            different = [name for name in found if not torch.equal(found[name], alone[name])]
            assert different == [], count


@pytest.mark.parametrize("settings", NETWORKS, ids=",".join)
def test_film_by_film_gradients_are_those_of_the_whole_batch(settings: tuple[str, ...]) -> None:
    step = Step(*settings)
    step.network.double()
    step.films, step.masks = step.films.double(), step.masks.double()
    (whole,) = together(1, partial(step, WholeBatch))
    (found,) = together(1, partial(step, FilmByFilm))
    for name, expected in whole.items():
        expected = expected.double()
        error = (found[name] - expected).norm() / expected.norm().clamp_min(1e-12)
        assert error < 1e-5, name
