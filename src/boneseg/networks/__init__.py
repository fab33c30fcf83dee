"""The networks, one module per family; `build` makes the one a recipe describes.

A module in this package registers its network in `contract.NETWORKS`, which states the contract.
"""

from __future__ import annotations

from torch import nn

from boneseg._util.registry import import_modules
from boneseg.networks.contract import NETWORKS, Network, Prunable
from boneseg.networks.ensemble import Ensemble
from boneseg.networks.inputs import CHANNELS, Copies, Filters, WithInputs
from boneseg.networks.unet import UNet
from boneseg.networks.unetplusplus import UNetPlusPlus
from boneseg.recipes.network import SettledNetwork

__all__ = [
    "NETWORKS",
    "Ensemble",
    "Network",
    "UNet",
    "UNetPlusPlus",
    "build",
    "depths",
    "prune",
    "pruned_settings",
]

import_modules(__name__, __path__)


def build(settings: SettledNetwork) -> nn.Module:
    """Build the network of a settled recipe, with its input layer: N x 1 x H x W to its output.

    Raises UsageError for an architecture that is not registered.
    """
    builder = NETWORKS[settings.architecture]
    if settings.inputs == "film":
        return _module(builder(settings, 1))
    inputs = Copies() if settings.inputs == "copies" else Filters()
    return WithInputs(inputs, _module(builder(settings, CHANNELS)))


def depths(network: nn.Module) -> list[int]:
    """Return the depths a network can be pruned to, ascending."""
    inner = network.network if isinstance(network, WithInputs) else network
    return inner.depths if isinstance(inner, Prunable) else []


def prune(network: nn.Module, depth: int) -> nn.Module:
    """Prune a network to one of its `depths`, as built from `pruned_settings`."""
    if isinstance(network, WithInputs):
        return WithInputs(network.inputs, prune(network.network, depth))
    if not isinstance(network, Prunable):
        raise ValueError("the network cannot be pruned")
    return _module(network.pruned(depth))


def pruned_settings(settings: SettledNetwork) -> SettledNetwork:
    """Return the settings of the network pruned to `settings.depth`."""
    if settings.depth is None:
        return settings
    levels = settings.depth + 1
    small = {"widths": settings.widths[:levels], "levels": levels}
    return settings.model_copy(update=small | {"depth": None, "deep_supervision": False})


def _module(network: Network) -> nn.Module:
    if not isinstance(network, nn.Module):
        raise TypeError(f"{type(network).__name__} is not a torch.nn.Module")
    return network
