"""The networks, one file a family; `build` makes the one that a recipe asks for."""

from __future__ import annotations

from torch import nn

from boneseg.networks.ensemble import Ensemble
from boneseg.networks.unet import UNet
from boneseg.recipe import NetworkSettings

__all__ = ["Ensemble", "UNet", "build"]


def build(settings: NetworkSettings) -> nn.Module:
    """The network of a settled recipe (`Recipe.settle` has filled in its widths)."""
    if settings.widths is None:
        raise ValueError("settle the recipe before a network is built from it")
    return UNet(
        settings.widths,
        block=settings.block,
        norm=settings.norm,
        deep_supervision=settings.deep_supervision,
    )
