"""The size of networks."""

from __future__ import annotations

import torch


def weights(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
