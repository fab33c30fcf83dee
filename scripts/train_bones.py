"""Train the decoder that names the bones, on the encoder of the bundled model.

    python -m scripts.train_bones --pools films/body films/knee --work runs/names

Pools are folders of `boneseg simulate --each-bone`. The encoder keeps its weights. The names are
held to the mask in the end, so the loss counts what is bone, and the rest little: `OUTSIDE`. An
interrupted call is resumed by repeating it; the weights are in WORK/names.safetensors.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from boneseg.bundle.store import bundled, load_bundle, load_network
from boneseg.networks.bones import BoneDecoder
from boneseg.networks.unet import UNet
from boneseg.preprocessing import Preparation
from boneseg.simulate.bones import NAMES
from scripts.finetune_bundled import HIDDEN
from scripts.simulated_pools import Pools
from scripts.steps import Steps, train_steps

SIDE = 192  # px of the grid: names are coarser than outlines
OUTSIDE = 0.1  # weight in the loss of what is no bone
# How often a film of each part is drawn, relative to the others; of any other part: 0.03.
WEIGHTS = {
    "knee": 0.16, "full leg": 0.12, "hand": 0.06, "chest": 0.06, "skull": 0.06, "pelvis": 0.06,
    "lumbar spine": 0.05, "foot": 0.05, "shoulder": 0.05, "hip": 0.05, "whole body": 0.05,
}  # fmt: skip


def bone_loss(logits: Tensor, bones: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of each bone and among the bones, and Dice loss of those on the film.

    logits N x 24 x h x w; bones (N x 24) and weight (N x 1) N x C x H x W of the film, averaged
    down to h x w. Which of the bones a pixel is of is learnt before how sure that is: hence the
    cross-entropy among them.
    """
    logits = logits.float()
    target = functional.interpolate(bones, logits.shape[-2:], mode="area")
    weight = functional.interpolate(weight, logits.shape[-2:], mode="area")
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    entropy = (entropy.sum(1) * weight[:, 0]).sum() / weight.sum()
    amount = target.sum(1)
    among = -(target * functional.log_softmax(logits, 1)).sum(1) / amount.clamp_min(0.5)
    entropy = entropy + (among * weight[:, 0]).sum() / weight.sum()
    share, truth = (logits.sigmoid() * weight).flatten(2), (target * weight).flatten(2)
    overlap = 2 * (share * target.flatten(2)).sum(2) + 1
    dice = 1 - overlap / (share.sum(2) + truth.sum(2) + 1)
    present = target.flatten(2).amax(2) > 0
    return entropy + (dice * present).sum() / present.sum().clamp_min(1)


def trained(asked: argparse.Namespace, network: UNet) -> nn.Module:
    """Train; return the exponential moving average of the weights."""
    pools = Pools(asked.pools, Preparation(SIDE, SIDE), WEIGHTS, named=True)
    network = network.to(memory_format=torch.channels_last).requires_grad_(False).train()  # type: ignore[call-overload]
    torch.manual_seed(0)
    decoder = BoneDecoder(network.widths, len(NAMES))
    average = copy.deepcopy(decoder)
    decoder = decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss_of(films: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                features = network.encoded(films)
            logits = decoder(features)
        seen = OUTSIDE + (1 - OUTSIDE) * targets[:, :1]
        return bone_loss(logits, targets[:, 2:], seen * (1 - (1 - HIDDEN) * targets[:, 1:2]))

    steps = Steps(asked.work, asked.steps, asked.batch, asked.rate, floor=0.02, seed=1)
    return train_steps(steps, pools, decoder, average, list(decoder.parameters()), loss_of)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--pools", type=Path, nargs="+", required=True, help="folders of films")
    words.add_argument("--work", type=Path, default=Path("runs/names"))
    words.add_argument("--init", type=Path, default=bundled(), help="the bundle with the encoder")
    words.add_argument("--steps", type=int, default=3000)
    words.add_argument("--batch", type=int, default=6)
    words.add_argument("--rate", type=float, default=2e-3, help="of learning, at its highest")
    asked = words.parse_args()
    decoder = trained(asked, load_network(load_bundle(asked.init)))
    path = asked.work / "names.safetensors"
    save_file({name: value.half() for name, value in decoder.state_dict().items()}, path)
    print(f"the decoder: {path}")


if __name__ == "__main__":
    main()
