"""The input channels of a network besides the film."""

from __future__ import annotations

import torch

from boneseg.networks.inputs import Filters


def test_the_filters_are_the_film_its_blur_and_its_slope() -> None:
    slope = torch.arange(32.0).expand(1, 1, 32, 32)
    film, blurred, edges = Filters()(slope)[0]
    assert torch.equal(film, slope[0, 0])
    assert torch.allclose(blurred[:, 8:-8], film[:, 8:-8], atol=1e-4)
    assert torch.allclose(edges[:, 1:-1], torch.ones(32, 30), atol=1e-5)
    assert not Filters().state_dict()
