"""The networks, one module per family; `build` makes the one a recipe describes."""

from __future__ import annotations

from torch import nn

from boneseg.networks.ensemble import Ensemble
from boneseg.networks.inputs import CHANNELS, Copies, Filters
from boneseg.networks.unet import UNet
from boneseg.networks.unetplusplus import UNetPlusPlus
from boneseg.recipes.settings import SettledNetwork

__all__ = ["Ensemble", "UNet", "UNetPlusPlus", "build", "depths", "prune", "pruned_settings"]


def build(settings: SettledNetwork) -> nn.Module:
    """Build the network of a settled recipe."""
    channels = 1 if settings.inputs == "film" else CHANNELS
    words = (settings.block, settings.norm, settings.deep_supervision, channels)
    network: nn.Module
    if settings.architecture == "unetplusplus":
        network = UNetPlusPlus(settings.widths, *words, stem=settings.stem)
    else:
        network = UNet(settings.widths, *words, attention=settings.attention, stem=settings.stem)
    if settings.inputs == "film":
        return network
    return nn.Sequential(Copies() if settings.inputs == "copies" else Filters(), network)


def depths(network: nn.Module) -> list[int]:
    """Return the depths a network can be pruned to: several heads of a U-Net++, else none."""
    nested = _nested(network)
    return sorted(map(int, nested.heads)) if nested is not None and len(nested.heads) > 1 else []


def prune(network: nn.Module, depth: int) -> nn.Module:
    """Prune a U-Net++ to one of its `depths`, as built from `pruned_settings`."""
    nested = _nested(network)
    if nested is None:
        raise ValueError("only a U-Net++ can be pruned")
    small = nested.pruned(depth)
    return nn.Sequential(network[0], small) if isinstance(network, nn.Sequential) else small


def pruned_settings(settings: SettledNetwork) -> SettledNetwork:
    """Return the settings of the network pruned to `settings.depth`."""
    if settings.depth is None:
        return settings
    levels = settings.depth + 1
    small = {"widths": settings.widths[:levels], "levels": levels}
    return settings.model_copy(update=small | {"depth": None, "deep_supervision": False})


def _nested(network: nn.Module) -> UNetPlusPlus | None:
    network = network[-1] if isinstance(network, nn.Sequential) else network
    return network if isinstance(network, UNetPlusPlus) else None
