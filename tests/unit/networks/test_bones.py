"""A head names the bones from the features that find them."""

import pytest
import torch

from boneseg.networks.bones import BoneHead, NamedBones
from boneseg.networks.unet import UNet


@pytest.mark.parametrize(("widths", "stem"), [((8, 16, 24), 1), ((8, 16, 24), 2), ((8,), 1)])
def test_every_bone_has_a_logit_at_every_pixel(widths: tuple[int, ...], stem: int) -> None:
    network = UNet(widths, norm="instance", stem=stem)
    named = NamedBones(network, BoneHead(network, 5)).eval()
    assert named(torch.randn(2, 1, 32, 48)).shape == (2, 5, 32, 48)


def test_at_first_hardly_any_pixel_is_of_a_bone() -> None:
    network = UNet((8, 16, 24))
    named = NamedBones(network, BoneHead(network, 5)).eval()
    assert torch.allclose(
        named(torch.randn(1, 1, 32, 32)).sigmoid(), torch.tensor(0.018), atol=1e-4
    )


def test_coarse_levels_and_the_finest_take_part() -> None:
    torch.manual_seed(0)
    network = UNet((8, 16, 24))
    head = BoneHead(network, 5)
    loss = NamedBones(network, head)(torch.randn(1, 1, 32, 32)).sum()
    loss.backward()
    assert all(level.weight.grad.abs().max() > 0 for level in head.levels)


def test_the_logits_of_bone_are_those_of_the_same_features() -> None:
    network = UNet((8, 16, 24), deep_supervision=True).eval()
    film = torch.randn(1, 1, 30, 41)  # not a multiple of the stride
    logits = network.logits(network.features(film), film.shape[-2:])
    assert torch.equal(logits, network(film))
