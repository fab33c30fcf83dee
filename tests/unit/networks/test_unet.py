"""One U-Net, any depth, width and film."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from boneseg.networks import UNet, UNetPlusPlus, build
from boneseg.networks.unet import AttentionGate, InstanceNorm, UpConvolution
from boneseg.recipes.network import NetworkSettings, SettledNetwork
from boneseg.recipes.recipe import Recipe
from tests.support.networks import weights


@settings(max_examples=25)
@given(
    widths=st.lists(st.integers(1, 8), min_size=1, max_size=5),
    height=st.integers(16, 70),
    width=st.integers(16, 70),
    block=st.sampled_from(["plain", "residual", "separable"]),
    norm=st.sampled_from(["batch", "instance", "none"]),
    settings=st.sampled_from(
        [
            {},
            {"deep_supervision": True},
            {"attention": True},
            {"stem": 2},
            {"stem": 3, "deep_supervision": True},
            {"inputs": "copies"},
            {"inputs": "filters"},
            {"architecture": "unetplusplus", "stem": 2},
            {"architecture": "unetplusplus", "deep_supervision": True, "inputs": "filters"},
        ]
    ),
)
def test_the_answer_has_the_film_s_size(
    widths: list[int], height: int, width: int, block: str, norm: str, settings: dict[str, object]
) -> None:
    asked = {"widths": widths, "block": block, "norm": norm, "deep_supervision": False, **settings}
    network = build(SettledNetwork.model_validate(asked)).eval()
    stride = SettledNetwork.model_validate(asked).stem * 2 ** (len(widths) - 1)
    assume(norm != "instance" or max(height, width) > stride)  # which refuses a single value
    with torch.no_grad():
        assert network(torch.zeros(2, 1, height, width)).shape == (2, 1, height, width)


def test_deep_supervision_returns_every_level_only_in_training() -> None:
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


@pytest.mark.parametrize(
    "network",
    [
        UNet((4, 8, 16), block="residual", deep_supervision=True),
        UNet((4, 8, 16), deep_supervision=True, attention=True),
        UNet((4, 8, 16), block="separable", deep_supervision=True, stem=2),
        UNetPlusPlus((4, 8, 16), deep_supervision=True),
        UNetPlusPlus((4, 8, 16), deep_supervision=True, stem=2),
    ],
)
def test_every_parameter_learns(network: UNet | UNetPlusPlus) -> None:
    network.train()
    sum(output.square().mean() for output in network(torch.randn(2, 1, 32, 32))).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("known", "ours"),
    [
        (torch.nn.InstanceNorm2d(4, affine=True), InstanceNorm(4, affine=True)),
        (torch.nn.ConvTranspose2d(4, 3, 2, stride=2), UpConvolution(4, 3, 2, stride=2)),
        (
            torch.nn.ConvTranspose2d(4, 1, 3, stride=3, bias=False),
            UpConvolution(4, 1, 3, 3, bias=False),
        ),
    ],
)
def test_a_layer_of_ours_in_training_is_pytorch_s_and_leaves_channels_last(
    known: torch.nn.Module, ours: torch.nn.Module, count: int
) -> None:
    known.zero_grad()
    ours.train().zero_grad()
    torch.nn.init.normal_(known.weight)
    ours.load_state_dict(known.state_dict())
    first = torch.randn(count, 4, 10, 6, requires_grad=True)
    last = first.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    expected, found = known(first), ours(last)
    assert torch.allclose(found, expected, atol=1e-6)
    assert torch.allclose(ours.eval()(last), expected, atol=1e-6)
    assert found.is_contiguous(memory_format=torch.channels_last)
    (expected**3).sum().backward()
    (found**3).sum().backward()
    pairs = [(first, last), *zip(known.parameters(), ours.parameters(), strict=True)]
    for a, b in pairs:
        assert a.grad is not None
        assert b.grad is not None
        assert torch.allclose(a.grad, b.grad, rtol=1e-4, atol=1e-4)


def test_a_separable_convolution_has_a_weight_a_channel_and_pixel_and_one_a_pair() -> None:
    plain, light = UNet((16, 32)), UNet((16, 32), block="separable")
    pairs = [(1, 16), (16, 16), (16, 32), (32, 32), (32, 16), (16, 16)]
    saved = sum(9 * i * o - (9 * i + i * o) for i, o in pairs)
    assert weights(plain) - weights(light) == saved


def test_a_stem_takes_patches_for_pixels() -> None:
    coarse = UNet((8, 16), stem=2, deep_supervision=True).train()
    film = torch.randn(1, 1, 32, 48)
    finest, *others = coarse(film)
    assert finest.shape == film.shape
    assert not others


def test_small_films_are_taken_pixel_by_pixel_and_others_in_patches() -> None:
    settled = [Recipe().settle([(side, side)]).network for side in (128, 224, 512)]
    assert [(network.stem, network.levels) for network in settled] == [(1, 5), (2, 5), (2, 5)]


def test_a_network_is_built_from_a_settled_recipe_only() -> None:
    with pytest.raises(ValidationError, match="widths"):
        SettledNetwork.model_validate(NetworkSettings().model_dump())
    settled = Recipe().settle([(224, 224)])
    assert isinstance(build(settled.network), UNet)


def test_the_parameters_are_those_of_the_papers() -> None:
    """Zhou et al., 2018, table 2, and 2020, table I: 7.76 M for U-Net and 9.04 M for U-Net++."""
    widths = (32, 64, 128, 256, 512)
    assert weights(UNet(widths, in_channels=3)) == pytest.approx(7.76e6, rel=0.001)
    assert weights(UNetPlusPlus(widths, in_channels=3)) == pytest.approx(9.04e6, rel=0.015)


def test_the_parameters_are_those_of_monai() -> None:
    from monai.networks.nets import BasicUNetPlusPlus
    from monai.networks.nets.attentionunet import AttentionBlock

    theirs = BasicUNetPlusPlus(2, 1, 1, (32, 32, 64, 128, 256, 32), bias=False)
    ours = UNetPlusPlus((32, 32, 64, 128, 256), norm="instance", deep_supervision=True)
    assert weights(ours) == weights(theirs)
    gate = AttentionBlock(2, f_int=16, f_g=32, f_l=32)
    # MONAI's convolutions have a bias before a normalisation that takes it away again, and its
    # last 1 x 1 convolution a normalisation of its own.
    assert weights(AttentionGate(32, "batch")) == weights(gate) - 2 * 16 - 2


def test_attention_weights_the_skip_between_0_and_1() -> None:
    gate = AttentionGate(8, "batch").eval()
    skip = torch.rand(1, 8, 5, 5) + 0.1
    share = gate(torch.randn(1, 8, 5, 5), skip) / skip
    assert (share > 0).all()
    assert (share < 1).all()
    assert torch.allclose(share, share[:, :1].expand_as(share), atol=1e-5)
