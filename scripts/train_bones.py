"""Train the network that names the bones of the mask of a film.

    python -m scripts.train_bones --pools films/body films/knee --work runs/names

Pools are folders of `boneseg simulate --each-bone`. The network is shown film, mask and body part;
in use the last two are predicted, so here the mask is blurred and disturbed and the part now and
then uncertain. `--init BUNDLE` starts from the network of a bundle, on whatever grid that was. An
interrupted call is resumed by repeating it; the weights are in WORK/names.safetensors.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from boneseg.bundle.further import load_names
from boneseg.bundle.store import load_bundle
from boneseg.bundle.tensors import save_tensors
from boneseg.inference.verdict.network import PARTS
from boneseg.networks.bones import bone_names
from boneseg.preprocessing import Stretched
from boneseg.simulate.bones import NAMES
from boneseg.training.augmentation import Augmenter
from scripts.finetune_bundled import HIDDEN
from scripts.simulated_pools import Pools
from scripts.steps import Steps, train_steps
from scripts.train_bundled import RECIPE

# Pixels of the grid: names are coarser than outlines. A whole leg is three to five times as high as
# wide, and the gap of its knee less than a hundredth of its height.
GRID = 192, 128  # height, width
WIDTHS = (24, 40, 64, 96, 128, 160)
OUTSIDE = 0.05  # weight in the loss of what is no bone: the names are held to the mask
VARIED = {"zoom": 0.4, "rotation": 12.0, "flip_vertical": 0.03}  # films are seldom upside down
RARE = -4.0  # initial logit: few bones of the body are on a film
UNSURE = 0.08  # share of films whose part is not told
# How often a film of each part is drawn, relative to the others; of any other part: 0.03.
WEIGHTS = {
    "knee": 0.14, "full leg": 0.25, "hand": 0.07, "chest": 0.06, "skull": 0.05, "pelvis": 0.06,
    "lumbar spine": 0.05, "foot": 0.05, "shoulder": 0.05, "hip": 0.09, "whole body": 0.05,
    "forearm": 0.05, "wrist": 0.05,
}  # fmt: skip


def predicted(mask: Tensor) -> Tensor:
    """A mask N x 1 x H x W as a network might predict it: blurred, with smooth mistakes."""
    size = mask.shape[-2:]
    noise = torch.zeros_like(mask)
    for cells, strength in ((5, 1.0), (20, 1.0)):
        coarse = torch.randn(len(mask), 1, cells, cells) * strength
        noise = noise + functional.interpolate(coarse, size, mode="bicubic")
    logits = 5 * (2 * functional.avg_pool2d(mask, 3, 1, 1) - 1)
    return (logits + 1.5 * torch.rand(len(mask), 1, 1, 1) * noise).sigmoid()


def told(parts: list[str]) -> Tensor:
    """Parts as the verdict might predict them: probabilities N x 20, mostly of the right one."""
    share = torch.tensor(
        [[1.0 * (one == part) for one in PARTS] if part in PARTS else [0.05] * 20 for part in parts]
    )
    other = functional.one_hot(torch.randint(len(PARTS), (len(parts),)), len(PARTS))
    doubt = 0.4 * torch.rand(len(parts), 1) ** 3
    share = (1 - doubt) * share + doubt * other
    share[torch.rand(len(parts)) < UNSURE] = 1 / len(PARTS)
    return share


def bone_loss(logits: Tensor, bones: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of each bone and among the bones, and Dice loss of those on the film.

    logits and bones N x 24 x H x W, weight N x 1 x H x W. Which of the bones a pixel is of is
    learnt before how sure that is: hence the cross-entropy among them.
    """
    logits = logits.float()
    entropy = functional.binary_cross_entropy_with_logits(logits, bones, reduction="none")
    entropy = (entropy.sum(1) * weight[:, 0]).sum() / weight.sum()
    shares = bones / bones.sum(1, keepdim=True).clamp_min(1)
    among = -(shares * functional.log_softmax(logits, 1)).sum(1)
    entropy = entropy + (among * weight[:, 0]).sum() / weight.sum()
    share, truth = (logits.sigmoid() * weight).flatten(2), (bones * weight).flatten(2)
    overlap = 2 * (share * bones.flatten(2)).sum(2) + 1
    dice = 1 - overlap / (share.sum(2) + truth.sum(2) + 1)
    present = truth.sum(2) > 0
    return entropy + (dice * present).sum() / present.sum().clamp_min(1)


def trained(asked: argparse.Namespace) -> nn.Module:
    """Train; return the exponential moving average of the weights."""
    pools = Pools(asked.pools, Stretched(*GRID), WEIGHTS, named=True)
    torch.manual_seed(0)
    if asked.init is None:
        network = bone_names(WIDTHS, len(NAMES), len(PARTS))
        nn.init.constant_(network.heads[0].get_parameter("bias"), RARE)
    else:
        network = load_names(load_bundle(asked.init))
    network.train()
    average = copy.deepcopy(network)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss_of(films: Tensor, targets: Tensor, parts: list[str]) -> Tensor:
        mask, hidden, bones = targets[:, :1], targets[:, 1:2], targets[:, 2:]
        planes = told(parts)[:, :, None, None].expand(-1, -1, *mask.shape[-2:])
        seen = torch.cat([films, 2 * predicted(mask) - 1, planes], 1)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(seen.contiguous(memory_format=torch.channels_last))
        weight = OUTSIDE + (1 - OUTSIDE) * mask
        return bone_loss(logits, bones, weight * (1 - (1 - HIDDEN) * hidden))

    augment = Augmenter(RECIPE.augment.model_copy(update=VARIED))
    steps = Steps(asked.work, asked.steps, asked.batch, asked.rate, 0.02, 1, augment)
    return train_steps(steps, pools, network, average, list(network.parameters()), loss_of)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--pools", type=Path, nargs="+", required=True, help="folders of films")
    words.add_argument("--work", type=Path, default=Path("runs/names"))
    words.add_argument("--init", type=Path, default=None, help="the bundle to start from")
    words.add_argument("--steps", type=int, default=12000)
    words.add_argument("--batch", type=int, default=8)
    words.add_argument("--rate", type=float, default=2e-3, help="of learning, at its highest")
    asked = words.parse_args()
    network = trained(asked)
    path = asked.work / "names.safetensors"
    save_tensors({name: value.half() for name, value in network.state_dict().items()}, path)
    print(f"the network: {path}")


if __name__ == "__main__":
    main()
