"""One U-Net, any depth, width and film."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boneseg.networks import UNet, build
from boneseg.recipe import NetworkSettings, Recipe


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 8), min_size=1, max_size=5),
    height=st.integers(16, 70),
    width=st.integers(16, 70),
    block=st.sampled_from(["plain", "residual"]),
    norm=st.sampled_from(["batch", "instance", "none"]),
)
def test_the_answer_has_the_film_s_size(
    widths: list[int], height: int, width: int, block: str, norm: str
) -> None:
    network = UNet(widths, block=block, norm=norm).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 1, height, width)).shape == (2, 1, height, width)


def test_deep_supervision_answers_at_every_level_in_training_alone() -> None:
    network = UNet((4, 8, 16), deep_supervision=True)
    film = torch.randn(2, 1, 30, 44)
    shapes = [tuple(output.shape[-2:]) for output in network.train()(film)]
    assert shapes == [(30, 44), (16, 22)]
    assert network.eval()(film).shape == (2, 1, 30, 44)


def test_the_parameters_are_those_of_the_formula() -> None:
    """Two 3 x 3 convolutions with normalisation a level, 2 x 2 upward ones, one 1 x 1 head."""

    def block(i: int, o: int) -> int:
        return 9 * i * o + 9 * o * o + 4 * o

    def up(i: int, o: int) -> int:
        return 4 * i * o + o + block(2 * o, o)

    expected = block(1, 16) + block(16, 32) + block(32, 64) + up(64, 32) + up(32, 16) + 16 + 1
    assert sum(p.numel() for p in UNet((16, 32, 64)).parameters()) == expected


def test_every_parameter_learns() -> None:
    network = UNet((4, 8, 16), block="residual", deep_supervision=True).train()
    sum(output.square().mean() for output in network(torch.randn(2, 1, 32, 32))).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_a_network_is_built_from_a_settled_recipe_only() -> None:
    with pytest.raises(ValueError, match="settle"):
        build(NetworkSettings())
    settled = Recipe().settle([(224, 224)])
    assert isinstance(build(settled.network), UNet)
