"""The network that finds outlines sees the film and what was found of it."""

import pytest
import torch

from boneseg.networks.outline import outline_network


@pytest.mark.parametrize("size", [(32, 48), (30, 41)])
def test_every_pixel_has_a_logit(size: tuple[int, int]) -> None:
    network = outline_network((8, 16, 24)).eval()
    assert network(torch.randn(2, 2, *size)).shape == (2, 1, *size)


def test_film_and_what_was_found_each_change_the_answer() -> None:
    torch.manual_seed(0)
    network = outline_network((8, 16)).eval()
    seen = torch.randn(1, 2, 32, 32)
    with torch.inference_mode():
        answer = network(seen)
        for channel in range(2):
            other = seen.clone()
            other[:, channel] = 0
            assert not torch.allclose(network(other), answer)
