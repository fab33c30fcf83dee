"""A decoder names the bones from the encoder's features, and leaves the mask as it is."""

import pytest
import torch

from boneseg.networks.bones import BoneDecoder, NamedBones
from boneseg.networks.unet import UNet


def named_bones(widths: tuple[int, ...], stem: int = 1) -> NamedBones:
    network = UNet(widths, norm="instance", stem=stem)
    return NamedBones(network, BoneDecoder(network.widths, 5)).eval()


@pytest.mark.parametrize(("widths", "stem"), [((8, 16, 24), 1), ((8, 16, 24), 2), ((8,), 1)])
@pytest.mark.parametrize("size", [(32, 48), (30, 41)])
def test_every_bone_has_a_logit_at_every_pixel(
    widths: tuple[int, ...], stem: int, size: tuple[int, int]
) -> None:
    assert named_bones(widths, stem)(torch.randn(2, 1, *size)).shape == (2, 5, *size)


def test_at_first_hardly_any_pixel_is_of_a_bone() -> None:
    found = named_bones((8, 16, 24))(torch.randn(1, 1, 32, 32)).sigmoid()
    assert torch.allclose(found, torch.tensor(0.018), atol=1e-4)


def test_every_level_takes_part() -> None:
    torch.manual_seed(0)
    named = named_bones((8, 16, 24))
    torch.nn.init.normal_(named.decoder.head.weight)
    named(torch.randn(1, 1, 32, 32)).square().sum().backward()
    for layer in (*named.decoder.inputs, *named.decoder.context, named.decoder.whole):
        assert layer.weight.grad.abs().max() > 0


def test_what_lies_far_away_changes_the_names() -> None:
    """The name of a piece of bone depends on the whole film."""
    torch.manual_seed(0)
    named = named_bones((8, 16))  # two levels: receptive field of some 30 px
    torch.nn.init.normal_(named.decoder.head.weight)
    film = torch.randn(1, 1, 16, 256)
    other = film.clone()
    other[..., 200:] = 0
    with torch.inference_mode():
        first, second = named(film), named(other)
    assert not torch.allclose(first[..., :60], second[..., :60])


def test_the_logits_of_bone_are_those_of_the_same_features() -> None:
    network = UNet((8, 16, 24), deep_supervision=True).eval()
    film = torch.randn(1, 1, 30, 41)  # not a multiple of the stride
    logits = network.logits(network.features(film), film.shape[-2:])
    assert torch.equal(logits, network(film))
