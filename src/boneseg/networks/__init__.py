"""The networks, one file a family; `build` makes the one that a recipe asks for."""

from __future__ import annotations

from torch import nn

from boneseg.networks.ensemble import Ensemble
from boneseg.networks.inputs import CHANNELS, Copies, Filters
from boneseg.networks.unet import UNet
from boneseg.networks.unetplusplus import UNetPlusPlus
from boneseg.recipes.recipe import NetworkSettings

__all__ = ["Ensemble", "UNet", "UNetPlusPlus", "build", "depths", "prune", "pruned_settings"]


def build(settings: NetworkSettings) -> nn.Module:
    """The network of a settled recipe (`Recipe.settle` has filled in its widths)."""
    if settings.widths is None:
        raise ValueError("settle the recipe before a network is built from it")
    channels = 1 if settings.inputs == "film" else CHANNELS
    words = (settings.block, settings.norm, settings.deep_supervision, channels)
    stem = settings.stem or 1
    network: nn.Module
    if settings.architecture == "unetplusplus":
        network = UNetPlusPlus(settings.widths, *words, stem=stem)
    else:
        network = UNet(settings.widths, *words, attention=settings.attention, stem=stem)
    if settings.inputs == "film":
        return network
    return nn.Sequential(Copies() if settings.inputs == "copies" else Filters(), network)


def depths(network: nn.Module) -> list[int]:
    """The depths at which a network can be cut; none but for a U-Net++ that has several heads."""
    nested = _nested(network)
    return sorted(map(int, nested.heads)) if nested is not None and len(nested.heads) > 1 else []


def prune(network: nn.Module, depth: int) -> nn.Module:
    """A U-Net++ cut at one of its `depths`; `pruned_settings` build the same."""
    nested = _nested(network)
    if nested is None:
        raise ValueError("only a U-Net++ can be cut")
    small = nested.pruned(depth)
    return nn.Sequential(network[0], small) if isinstance(network, nn.Sequential) else small


def pruned_settings(settings: NetworkSettings) -> NetworkSettings:
    """The settings of a network of these, once it is cut at `settings.depth`."""
    if settings.depth is None or settings.widths is None:
        return settings
    levels = settings.depth + 1
    small = {"widths": settings.widths[:levels], "levels": levels}
    return settings.model_copy(update=small | {"depth": None, "deep_supervision": False})


def _nested(network: nn.Module) -> UNetPlusPlus | None:
    network = network[-1] if isinstance(network, nn.Sequential) else network
    return network if isinstance(network, UNetPlusPlus) else None
