"""Batch norm over the films of several processes is that of one process with all of them."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from boneseg.networks import build
from boneseg.training.batch_norm import BatchNorm, replace_norms
from boneseg.training.losses import Objective
from boneseg.training.ranks import Ranks
from tests.support.ranks import together
from tests.support.training import recipe

FILMS = torch.randn(5, 4, 12, 10, generator=torch.Generator().manual_seed(1)) * 2 + 3
UPSTREAM = torch.randn(5, 4, 12, 10, generator=torch.Generator().manual_seed(2))


def passed(norm: nn.Module, films: Tensor, upstream: Tensor) -> dict[str, Tensor]:
    films = films.detach().requires_grad_(True)
    output = norm.train()(films)
    output.backward(upstream)
    found = {"output": output.detach(), "gradient": films.grad}
    found |= {f"{name}.grad": weight.grad for name, weight in norm.named_parameters()}
    return {name: value for name, value in found.items() if value is not None} | dict(
        norm.named_buffers()
    )


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("settings", [{}, {"momentum": None}, {"affine": False}])
def test_films_are_normalised_as_in_one_process(count: int, settings: dict[str, None]) -> None:
    norm = nn.BatchNorm2d(4, **settings).double()
    if norm.affine:
        nn.init.normal_(norm.weight)
    films, upstream = FILMS.double(), UPSTREAM.double()
    expected = passed(copy.deepcopy(norm), films, upstream)

    def work(ranks: Ranks) -> dict[str, Tensor]:
        own = BatchNorm(copy.deepcopy(norm), ranks, ranks.count)
        return passed(own, ranks.share(films), ranks.share(upstream))

    found = together(count, work)
    for name, value in expected.items():
        if name in ("output", "gradient"):  # of films
            whole = torch.cat([part[name] for part in found])
        elif name.endswith(".grad"):
            whole = torch.stack([part[name] for part in found]).sum(0)
        else:
            whole = found[-1][name]
        torch.testing.assert_close(whole, value, msg=name, check_dtype=False)


def test_statistics_of_a_large_grid_are_exact() -> None:
    """PyTorch's own are off by 1e-5 in channels-last layout."""
    films = torch.randn(2, 3, 256, 256, generator=torch.Generator().manual_seed(3)) * 2 + 3
    films = films.to(memory_format=torch.channels_last)
    norm = BatchNorm(nn.BatchNorm2d(3, momentum=1.0), Ranks(device=torch.device("cpu")), 1)
    norm.train()(films)
    var, mean = torch.var_mean(films.double(), (0, 2, 3))
    torch.testing.assert_close(norm.running_mean, mean.float(), rtol=5e-7, atol=0)
    torch.testing.assert_close(norm.running_var, var.float(), rtol=5e-7, atol=0)


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_gradients_of_a_network_add_up_to_those_of_one_process(norm: str) -> None:
    """Its weights, their names and its evaluation stay."""
    settled = recipe("network.levels=3", f"network.norm={norm}").settle([(64, 64)])
    torch.manual_seed(0)
    network = build(settled.network)
    assert isinstance(network, nn.Module)
    films, masks = torch.randn(5, 1, 32, 32), (torch.rand(5, 1, 32, 32) > 0.7).float()

    def work(ranks: Ranks) -> tuple[nn.Module, Tensor]:
        own = replace_norms(copy.deepcopy(network).double(), ranks, ranks.count)
        objective = Objective(own, settled.loss).train()
        part, truth = ranks.share(films).double(), ranks.share(masks).double()
        loss = objective(part, truth) * (len(part) / len(films))
        loss.backward()
        gradients = [weight.grad for weight in own.parameters() if weight.grad is not None]
        ranks.add([loss, *gradients])
        return own, loss

    (one, loss), *_ = together(1, work)
    (two, shared), *_ = together(2, work)
    torch.testing.assert_close(shared, loss, rtol=1e-6, atol=0)
    for (name, expected), found in zip(one.named_parameters(), two.parameters(), strict=True):
        assert expected.grad is not None and found.grad is not None
        error = (found.grad - expected.grad).norm() / expected.grad.norm()
        assert error < 1e-5, name
    assert two.state_dict().keys() == network.state_dict().keys()
    one.load_state_dict(network.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(one.float().eval()(films), network.eval()(films))
