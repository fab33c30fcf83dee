"""The network that names bones has a logit for each bone at every pixel."""

import pytest
import torch

from boneseg.networks.bones import bone_names


@pytest.mark.parametrize("size", [(32, 48), (30, 41)])
def test_every_bone_has_a_logit_at_every_pixel(size: tuple[int, int]) -> None:
    network = bone_names((8, 16, 24), bones=5, parts=3).eval()
    assert network(torch.randn(2, 2 + 3, *size)).shape == (2, 5, *size)


def test_film_mask_and_part_each_change_the_names() -> None:
    torch.manual_seed(0)
    network = bone_names((8, 16), bones=2, parts=3).eval()
    seen = torch.randn(1, 5, 32, 32)
    with torch.inference_mode():
        names = network(seen)
        for channel in range(5):
            other = seen.clone()
            other[:, channel] = 0
            assert not torch.allclose(network(other), names)


def test_the_part_is_known_at_every_pixel() -> None:
    """However large the film is: it does not have to reach a pixel through the layers."""
    network = bone_names((8,), bones=2, parts=2).eval()  # one level: receptive field of 10 px
    seen = torch.zeros(1, 4, 64, 64)
    other = seen.clone()
    other[:, 2] = 1
    with torch.inference_mode():
        assert (network(seen) != network(other)).all()
