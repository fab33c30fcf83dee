"""The further networks of a bundle: how they are written and loaded.

    BUNDLE/names.*     names bones: "film" N x (2 + parts) x height x width to
                       "probability" N x names x height x width; see `networks/bones.py`
    BUNDLE/outline.*   finds outlines on a finer grid: "film" N x 2 x H x W to
                       "probability" N x 1 x H x W; see `networks/outline.py`

Each has its weights in .safetensors and its graph in .onnx. Neither needs the weights of the
network that finds bone. A bundle from training has none.

    save_names(Path("runs/first/bundle"), network, CardBones(names, parts, widths, 192, 128))
    save_outline(Path("runs/first/bundle"), network, CardOutline(2.0, widths))
"""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from boneseg._util.files import folder_beside, replace_folder
from boneseg.bundle.card import (
    NAMES_ONNX,
    NAMES_WEIGHTS,
    OUTLINE_ONNX,
    OUTLINE_WEIGHTS,
    Card,
    CardBones,
    CardOutline,
)
from boneseg.bundle.store import Bundle, load_bundle, sign, with_weights, without_names
from boneseg.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

    from boneseg.networks.unet import UNet


def save_names(path: Path | str, network: nn.Module, bones: CardBones) -> Bundle:
    """Add a network that names bones to a bundle, or replace it; the rest stays as it is.

    network: of the names, parts and widths of `bones`: a `networks.bones.bone_names`. It is written
    in float16.

    Raises BundleError and OutputError.
    """
    bundle = load_bundle(path)
    shape = (2 + len(bones.parts), bones.height, bones.width)
    card = replace(bundle.card, bones=bones)
    return _with(bundle.path, card, network, NAMES_ONNX, NAMES_WEIGHTS, shape, fitted=False)


def save_outline(path: Path | str, network: nn.Module, outline: CardOutline) -> Bundle:
    """Add a network that finds outlines to a bundle, or replace it; the rest stays as it is.

    network: of the widths of `outline`: a `networks.outline.outline_network`. It is written in
    float16.

    Raises BundleError and OutputError, and UsageError for a bundle whose grid does not take the
    film's shape.
    """
    bundle = load_bundle(path)
    if not bundle.card.fitted:
        raise UsageError(f"{bundle.path}: has one grid for all films; choose a fitted bundle")
    shape = (2, bundle.card.height, bundle.card.width)
    card = replace(bundle.card, outlines=outline)
    return _with(bundle.path, card, network, OUTLINE_ONNX, OUTLINE_WEIGHTS, shape, fitted=True)


def _with(
    path: Path,
    card: Card,
    network: nn.Module,
    onnx: str,
    weights: str,
    shape: tuple[int, int, int],
    *,
    fitted: bool,
) -> Bundle:
    """A bundle with one more network, in files of these names, and its new card."""
    from boneseg.bundle.onnx import export, share_weights
    from boneseg.bundle.tensors import save_tensors

    network = copy.deepcopy(network).eval().half()
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    with folder_beside(path) as building:
        for name in card.files:
            shutil.copy(path / name, building / name)
        save_tensors(tensors, building / weights)
        export(network, building / onnx, shape, fitted=fitted)
        share_weights(building / onnx, weights)
        card = sign(building, card)
        replace_folder(path, building)
    return Bundle(path, card)


def load_names(bundle: Bundle) -> UNet:
    """The network that names bones in PyTorch, in evaluation mode.

    Raises BundleError, and UsageError for a bundle without one.
    """
    from boneseg.networks.bones import bone_names

    bones = bundle.card.bones
    if bones is None:
        raise without_names(bundle)
    return with_weights(
        bundle, NAMES_WEIGHTS, lambda: bone_names(bones.widths, len(bones.names), len(bones.parts))
    )


def load_outline(bundle: Bundle) -> UNet:
    """The network that finds outlines in PyTorch, in evaluation mode.

    Raises BundleError, and UsageError for a bundle without one.
    """
    from boneseg.networks.outline import outline_network

    outline = bundle.card.outlines
    if outline is None:
        raise UsageError(f"{bundle.path}: has no network for outlines; choose a model that does")
    return with_weights(bundle, OUTLINE_WEIGHTS, lambda: outline_network(outline.widths))
