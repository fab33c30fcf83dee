"""The second network of a bundle, which names bones: how it is written and loaded.

    BUNDLE/names.safetensors   weights of its decoder
    BUNDLE/names.onnx          "film" N x 1 x H x W to "probability" N x names x H x W

Its encoder is that of the network that finds bone, so its ONNX file references both safetensors
files and has hardly any weights of its own. The card lists the names in the order of the channels.
Only a bundle of one U-Net can have it; a bundle from training has none.

    save_names(Path("runs/first/bundle"), decoder, CardBones(names, widths))
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from boneseg._util.files import folder_beside, replace_folder
from boneseg.bundle.card import FORMAT, NAMES_ONNX, NAMES_WEIGHTS, WEIGHTS, CardBones
from boneseg.bundle.store import Bundle, load_bundle, load_network, sign, without_names
from boneseg.errors import BundleError, UsageError

if TYPE_CHECKING:
    from torch import nn

    from boneseg.networks.bones import NamedBones


def save_names(path: Path | str, decoder: nn.Module, bones: CardBones) -> Bundle:
    """Add the network that names bones to a bundle, or replace it; the rest stays as it is.

    decoder: a `networks.bones.BoneDecoder` of the names and widths of `bones`, trained on the
    features of this bundle's network. It is written in float16 if the bundle's weights are.

    Raises BundleError, OutputError, and UsageError for a bundle of another network than one U-Net.
    """
    from boneseg.bundle.onnx import export, share_weights
    from boneseg.bundle.tensors import save_tensors

    bundle = load_bundle(path)
    network = _network(bundle, bones)
    network.decoder.load_state_dict(decoder.state_dict())
    if _is_half(bundle.path / WEIGHTS):
        network = network.half()
    weights = {name: value.contiguous() for name, value in network.decoder.state_dict().items()}
    card = replace(bundle.card, format=FORMAT, bones=bones)
    with folder_beside(bundle.path) as building:
        shutil.copytree(bundle.path, building, dirs_exist_ok=True)
        save_tensors(weights, building / NAMES_WEIGHTS)
        export(network, building / NAMES_ONNX, card)
        share_weights(building / NAMES_ONNX, {"network.": WEIGHTS, "decoder.": NAMES_WEIGHTS})
        card = sign(building, card)
        replace_folder(bundle.path, building)
    return Bundle(bundle.path, card)


def load_names(bundle: Bundle) -> NamedBones:
    """The network that names bones in PyTorch, in evaluation mode. Raises BundleError."""
    from safetensors.torch import load_file

    if bundle.card.bones is None:
        raise without_names(bundle)
    network = _network(bundle, bundle.card.bones)
    try:
        network.decoder.load_state_dict(load_file(bundle.path / NAMES_WEIGHTS))
    except Exception:  # not safetensors, or other names or shapes than the card's
        problem = f"its {NAMES_WEIGHTS} does not fit its card"
        raise BundleError(f"{bundle.path}: {problem}; copy the bundle again") from None
    return network


def _network(bundle: Bundle, bones: CardBones) -> NamedBones:
    import torch

    from boneseg.networks.bones import BoneDecoder, NamedBones
    from boneseg.networks.unet import UNet

    network = load_network(bundle)
    if not isinstance(network, UNet):
        raise UsageError(f"{bundle.path}: only a model of one U-Net can name bones")
    with torch.random.fork_rng(devices=[]):  # initial weights draw random numbers
        decoder = BoneDecoder(network.widths, len(bones.names), bones.widths)
    return NamedBones(network, decoder).eval()


def _is_half(path: Path) -> bool:
    """Whether a safetensors file has weights of float16."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return any(file.get_slice(name).get_dtype() == "F16" for name in file.keys())  # noqa: SIM118
