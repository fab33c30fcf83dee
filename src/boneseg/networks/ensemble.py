"""An ensemble of networks as one module: one channel of logits per member.

>>> ensemble = Ensemble([UNet(widths=(8, 16)), UNet(widths=(8, 16))])
>>> ensemble(torch.zeros(1, 1, 64, 64)).shape
torch.Size([1, 2, 64, 64])
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """Films N x 1 x H x W to logits N x members x H x W, in evaluation mode only.

    The members are not averaged here: their disagreement enters the trust score of a film.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, film: Tensor) -> Tensor:
        return torch.cat([member(film) for member in self.members], dim=1)
