"""An ensemble returns a channel for each member."""

from __future__ import annotations

import torch

from boneseg.networks.ensemble import Ensemble
from boneseg.networks.unet import UNet


def test_each_channel_is_the_output_of_its_member() -> None:
    torch.manual_seed(0)
    members = [UNet(widths=(4, 8)).eval() for _ in range(3)]
    films = torch.rand(2, 1, 32, 48)
    with torch.no_grad():
        logits = Ensemble(members).eval()(films)
        assert logits.shape == (2, 3, 32, 48)
        for channel, member in enumerate(members):
            torch.testing.assert_close(logits[:, channel : channel + 1], member(films))


def test_its_weights_are_those_of_its_members() -> None:
    ensemble = Ensemble([UNet(widths=(4, 8)), UNet(widths=(4, 8))])
    names = ensemble.state_dict().keys()
    assert {name.split(".")[1] for name in names} == {"0", "1"}
