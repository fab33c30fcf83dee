"""Train the decoder that names the bones, on the encoder of the bundled model.

    python -m scripts.train_bones --pools films/body films/knee --work runs/names

Pools are folders of `boneseg simulate --each-bone`. The encoder keeps its weights. The names are
held to the mask in the end, so the loss counts what is bone, and the rest little: `OUTSIDE`. An
interrupted call is resumed by repeating it; the weights are in WORK/names.safetensors.
"""

from __future__ import annotations

import argparse
import copy
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from boneseg.bundle.store import bundled, load_bundle, load_network
from boneseg.networks.bones import BoneDecoder
from boneseg.networks.unet import UNet
from boneseg.preprocessing import Preparation
from boneseg.simulate.bones import NAMES
from boneseg.training.augmentation import Augmenter
from boneseg.training.optimiser import update_average
from scripts.finetune_bundled import EVERY, HIDDEN, ZOOM
from scripts.simulated_pools import Pools
from scripts.train_bundled import RECIPE

EMA = 0.997
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


def trained(asked: argparse.Namespace, network: UNet) -> BoneDecoder:
    """Train; return the exponential moving average of the weights."""
    pools = Pools(asked.pools, Preparation(SIDE, SIDE), WEIGHTS, named=True)
    network = network.to(memory_format=torch.channels_last).requires_grad_(False)  # type: ignore[call-overload]
    torch.manual_seed(0)
    decoder = BoneDecoder(network.widths, len(NAMES))
    average = copy.deepcopy(decoder)
    decoder = decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(decoder.parameters(), asked.rate, weight_decay=0.01, fused=True)
    augment = Augmenter(RECIPE.augment.model_copy(update={"zoom": ZOOM}))
    first, saved = 0, asked.work / "checkpoint.pt"
    asked.work.mkdir(parents=True, exist_ok=True)
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        decoder.load_state_dict(state["decoder"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
    network.train()
    mean = 0.0
    for step in range(first, asked.steps):
        if step % EVERY == 0 or step == first:
            count = pools.read_new()
        films, targets = pools.batch(asked.batch, np.random.default_rng([1, step]))
        films, targets = augment(films, targets, torch.Generator().manual_seed(step))
        cosine = 0.02 + 0.49 * (1 + math.cos(math.pi * step / asked.steps))
        for group in optimiser.param_groups:
            group["lr"] = asked.rate * min(1.0, (step + 1) / 50) * cosine
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                features = network.encoded(films.contiguous(memory_format=torch.channels_last))
            logits = decoder(features)
        seen = OUTSIDE + (1 - OUTSIDE) * targets[:, :1]
        loss = bone_loss(logits, targets[:, 2:], seen * (1 - (1 - HIDDEN) * targets[:, 1:2]))
        loss.backward()
        nn.utils.clip_grad_norm_(decoder.parameters(), 5.0)
        optimiser.step()
        update_average(average, decoder, step + 1, EMA)
        mean += max(0.02, 1 / (step - first + 1)) * (float(loss.detach()) - mean)
        if (step + 1) % EVERY == 0 or step + 1 == asked.steps:
            print(f"{step + 1} steps, {count} films, loss {mean:.4f}", flush=True)
            state = {"decoder": decoder.state_dict(), "average": average.state_dict()}
            state |= {"optimiser": optimiser.state_dict(), "step": step + 1}
            torch.save(state, saved.with_suffix(".new"))
            saved.with_suffix(".new").replace(saved)
    return average.eval()


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
