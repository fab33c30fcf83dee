"""Fine-tune the bundled model on simulated films, leaving out of the loss the bone they hide.

    python -m scripts.finetune_bundled --pools films/chest films/knee --work runs/ninth \\
        --steps 2000 --out runs/ninth/bones

A pool is a folder that `boneseg simulate` wrote, or is still writing: pools are read again every
50 steps. Bone in `hidden/` counts `HIDDEN` in the loss on films of the trunk: there more than
half of a region is bone (ribs over heart and liver), and a model that has to guess fills all of it.
Whole legs are treated alike, since one of their stitched exposures may be black. Elsewhere the
visible outline implies the rest, and all bone counts. An interrupted call is resumed by repeating
it. `scripts/train_bundled.py` trains from scratch, and `scripts/train_bones.py` the network that
names the bones.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from boneseg.bundle.store import bundled, load_bundle, load_network, save_bundle
from boneseg.networks.unet import UNet
from boneseg.preprocessing import Preparation
from boneseg.training.augmentation import Augmenter
from scripts.simulated_pools import Pools
from scripts.steps import Steps, train_steps
from scripts.train_bundled import RECIPE, between

HIDDEN = 0.1  # weight in the loss of bone that a film does not show
SIDE = 320  # px of the working grid, as in inference
ZOOM = 0.6  # a pelvis that fills its film is larger on the working grid than the simulated ones
# How often a film of each part is drawn, relative to the others; of any other part: 0.03.
WEIGHTS = {
    "knee": 0.15, "full leg": 0.12, "hand": 0.04, "thigh": 0.03, "lower leg": 0.03, "chest": 0.1,
    "ct": 0.06, "skull": 0.14, "lumbar spine": 0.06, "pelvis": 0.12, "hip": 0.1, "trunk": 0.04,
}  # fmt: skip


def weighted_loss(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Dice loss and cross-entropy, each pixel counted by its weight: all N x 1 x H x W."""
    logits = logits.float()
    share, truth = (logits.sigmoid() * weight).flatten(1), (target * weight).flatten(1)
    dice = 1 - (2 * (share * target.flatten(1)).sum(1) + 1) / (share.sum(1) + truth.sum(1) + 1)
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (dice + (entropy * weight).flatten(1).sum(1) / weight.flatten(1).sum(1)).mean()


def supervised_loss(outputs: Iterable[Tensor], target: Tensor, weight: Tensor) -> Tensor:
    """The loss of every output, finest first, weighted by size as in `training.losses`."""
    total, sizes = target.new_zeros(()), 0.0
    for output in outputs:
        size = output.shape[-1] / target.shape[-1]
        coarse, weights = target, weight
        if size < 1:
            coarse = (functional.interpolate(target, output.shape[-2:], mode="area") >= 0.5).float()
            weights = functional.interpolate(weight, output.shape[-2:], mode="area")
        total, sizes = total + size * weighted_loss(output, coarse, weights), sizes + size
    return total / sizes


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--pools", type=Path, nargs="+", required=True, help="folders of films")
    words.add_argument("--work", type=Path, default=Path("runs/finetuned"))
    words.add_argument("--init", type=Path, default=bundled(), help="the bundle to start from")
    words.add_argument("--steps", type=int, default=2000)
    words.add_argument("--batch", type=int, default=4)
    words.add_argument("--rate", type=float, default=2e-4, help="of learning, at its highest")
    words.add_argument("--freeze", action="store_true", help="keep the weights of the encoder")
    words.add_argument("--stay", type=float, default=0.5, help="share of old weights that stays")
    words.add_argument("--out", type=Path, required=True)
    asked = words.parse_args()
    init = load_bundle(asked.init)
    average = finetuned(asked, load_network(init))
    card = replace(init.card, files={}, card_sha256="")
    saved = save_bundle(
        asked.out, between(average, load_network(init), asked.stay), card, half=True
    )
    print(f"the model: {saved.path}")


def finetuned(asked: argparse.Namespace, network: UNet) -> nn.Module:
    """Train; return the exponential moving average of the weights."""
    pools = Pools(asked.pools, Preparation(SIDE, SIDE), WEIGHTS)
    average = between(network, network, 0.0)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trained = [
        value
        for name, value in network.named_parameters()
        if not (asked.freeze and name.startswith(("stem", "encoder")))
    ]
    network.train()

    def loss_of(films: Tensor, targets: Tensor, _: list[str]) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            outputs = network(films)
        weight = 1 - (1 - HIDDEN) * targets[:, 1:2]
        return supervised_loss(outputs, targets[:, :1], weight)

    augment = Augmenter(RECIPE.augment.model_copy(update={"zoom": ZOOM}))
    steps = Steps(asked.work, asked.steps, asked.batch, asked.rate, 0.1, 0, augment)
    return train_steps(steps, pools, network, average, trained, loss_of)


if __name__ == "__main__":
    main()
