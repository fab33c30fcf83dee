"""U-Net++: pruned to any depth."""

from __future__ import annotations

import pytest
import torch

from boneseg.networks import UNet, UNetPlusPlus, build, depths, prune, pruned_settings
from boneseg.recipes.network import SettledNetwork
from tests.support.networks import weights


def test_a_pruned_network_answers_as_the_head_of_its_depth() -> None:
    asked = SettledNetwork(
        architecture="unetplusplus", inputs="filters", widths=(4, 6, 8, 10), depth=2, stem=1
    )
    network = build(asked)
    film = torch.randn(2, 1, 40, 56)
    network.train()(film)  # moves the running statistics away from where they began
    nested = network.eval()[-1]
    assert depths(network) == [1, 2, 3]
    assert depths(UNetPlusPlus((4, 8, 16))) == []  # it has but the deepest head
    small = prune(network, 2)
    whole_heads = UNetPlusPlus((4, 6, 8, 10), deep_supervision=True, in_channels=3).eval()
    whole_heads.load_state_dict(nested.state_dict())
    whole_heads.heads = torch.nn.ModuleDict({"2": whole_heads.heads["2"]})
    with torch.no_grad():
        assert torch.allclose(small(film), whole_heads(network[0](film)), atol=1e-6)
    assert weights(small) < weights(network)
    again = build(pruned_settings(asked))
    again.load_state_dict(small.state_dict())
    with pytest.raises(ValueError, match="no head at depth 3"):
        small[-1].pruned(3)
    with pytest.raises(ValueError, match="cannot be pruned"):
        prune(UNet((4, 8)), 1)
