"""The second network of a bundle, which names bones: how it is written and loaded.

    BUNDLE/names.safetensors   its weights
    BUNDLE/names.onnx          "film" N x (2 + parts) x height x width to
                               "probability" N x names x height x width: see `networks/bones.py`

It depends on nothing of the network that finds bone, and so fits any bundle. The card lists the
names in the order of the output channels. A bundle from training has none.

    save_names(Path("runs/first/bundle"), network, CardBones(names, parts, widths, 192, 128))
"""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from boneseg._util.files import folder_beside, replace_folder
from boneseg.bundle.card import FORMAT, NAMES_ONNX, NAMES_WEIGHTS, CardBones
from boneseg.bundle.store import Bundle, load_bundle, sign, without_names
from boneseg.errors import BundleError

if TYPE_CHECKING:
    from torch import nn

    from boneseg.networks.unet import UNet


def save_names(path: Path | str, network: nn.Module, bones: CardBones) -> Bundle:
    """Add a network that names bones to a bundle, or replace it; the rest stays as it is.

    network: of the names, parts and widths of `bones`: a `networks.bones.bone_names`. It is written
    in float16.

    Raises BundleError and OutputError.
    """
    from boneseg.bundle.onnx import export, share_weights
    from boneseg.bundle.tensors import save_tensors

    bundle = load_bundle(path)
    network = copy.deepcopy(network).eval().half()
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    shape = (2 + len(bones.parts), bones.height, bones.width)
    with folder_beside(bundle.path) as building:
        shutil.copytree(bundle.path, building, dirs_exist_ok=True)
        save_tensors(weights, building / NAMES_WEIGHTS)
        export(network, building / NAMES_ONNX, shape, fitted=False)
        share_weights(building / NAMES_ONNX, NAMES_WEIGHTS)
        card = sign(building, replace(bundle.card, format=FORMAT, bones=bones))
        replace_folder(bundle.path, building)
    return Bundle(bundle.path, card)


def load_names(bundle: Bundle) -> UNet:
    """The network that names bones in PyTorch, in evaluation mode. Raises BundleError."""
    import torch
    from safetensors.torch import load_file

    from boneseg.networks.bones import bone_names

    bones = bundle.card.bones
    if bones is None:
        raise without_names(bundle)
    bundle.verify()
    with torch.random.fork_rng(devices=[]):  # initial weights draw random numbers
        network = bone_names(bones.widths, len(bones.names), len(bones.parts))
    try:
        network.load_state_dict(load_file(bundle.path / NAMES_WEIGHTS))
    except Exception:  # not safetensors, or other names or shapes than the card's
        problem = f"its {NAMES_WEIGHTS} does not fit its card"
        raise BundleError(f"{bundle.path}: {problem}; copy the bundle again") from None
    return network.eval()
