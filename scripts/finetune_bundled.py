"""Fine-tune the bundled model on simulated films, leaving out of the loss the bone they hide.

    python -m scripts.finetune_bundled --pools films/chest films/knee --work runs/ninth \\
        --steps 2000 --out runs/ninth/bones

A pool is a folder that `boneseg simulate` wrote, or is still writing: pools are read again every
`EVERY` steps. Bone in `hidden/` counts `HIDDEN` in the loss on films of the trunk. There more than
half of a region is bone (ribs over heart and liver), and a model that has to guess fills all of it.
Elsewhere the visible outline implies the rest, and all bone counts. Films with the mask of each
bone (`--each-bone`) also train a head that names the bones (`BoneHead`), so that the decoder learns
what is a rib and what is not. An interrupted call is resumed by repeating it.
`scripts/train_bundled.py` trains from scratch.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from boneseg.bundle.store import bundled, load_bundle, load_network, save_bundle
from boneseg.networks.bones import BoneHead
from boneseg.networks.unet import UNet
from boneseg.preprocessing import Placement, Preparation, locally_normalised, standardised
from boneseg.simulate.bones import NAMES
from boneseg.training.augmentation import Augmenter
from boneseg.training.optimiser import update_average
from scripts.train_bundled import RECIPE, between

EVERY = 50  # steps between checkpoints
HIDDEN = 0.1  # weight in the loss of bone that a film of the trunk does not show
BONES = 0.3  # weight in the loss of the head that names the bones
HEAD_RATE = 10.0  # learning rate of that head, which starts from nothing, to that of the network
NORMALISED = 0.35  # share of films that are contrast-normalised, as half of inference is
# Share of films shown by a power of their grey values, and its range: above 1 flesh is nearly
# black, below 1 nearly as bright as bone. Of other parts: `OTHERS`.
POWERS = {
    "pelvis": (0.5, 1.3, 2.6), "hip": (0.5, 1.3, 2.6),
    "skull": (0.5, 0.35, 0.8), "neck": (0.3, 0.35, 0.8),
}  # fmt: skip
OTHERS = (0.15, 1.3, 2.6)
EMA = 0.997
SIDE = 320  # px of the working grid, as in inference
ZOOM = 0.6  # a pelvis that fills its film is larger on the working grid than the simulated ones
TRUNK = ("chest", "trunk", "ct", "lumbar spine", "shoulder", "neck", "whole body")
# How often a film of each part is drawn, relative to the others; of any other part: 0.03.
WEIGHTS = {
    "knee": 0.17, "full leg": 0.07, "hand": 0.04, "thigh": 0.03, "lower leg": 0.03, "chest": 0.1,
    "ct": 0.06, "skull": 0.14, "lumbar spine": 0.06, "pelvis": 0.12, "hip": 0.05, "trunk": 0.04,
}  # fmt: skip


@dataclass(frozen=True)
class Film:
    """A film on the working grid, plain and contrast-normalised; its bone, and what is hidden.

    bones: the mask of each bone by its index in `NAMES`, as packed bits; None if not known.
    """

    plain: NDArray[np.float16]
    normalised: NDArray[np.float16]
    mask: NDArray[np.bool_]
    hidden: NDArray[np.bool_]
    bones: dict[int, NDArray[np.uint8]] | None


@dataclass
class Pools:
    """The films of some folders by body part, read as they are written."""

    folders: list[Path]
    preparation: Preparation
    films: dict[str, list[Film]] = field(default_factory=dict)
    known: set[Path] = field(default_factory=set)

    def read_new(self) -> int:
        """Read the films that were finished since the last call; return the number of all."""
        for folder in self.folders:
            table = next(
                folder / n for n in ("parts.csv", "unfinished.csv") if (folder / n).exists()
            )
            with table.open() as file:
                rows = [row for row in csv.reader(file) if len(row) > 1]
            for name, part, *_ in rows:
                path = folder / "images" / f"{name}.png"
                if path not in self.known and path.exists():
                    self.known.add(path)
                    self.films.setdefault(part, []).append(self._read(path, part))
        return len(self.known)

    def _read(self, path: Path, part: str) -> Film:
        pixels = np.asarray(Image.open(path).convert("L"), np.float32) / 255
        grid, place = self.preparation.film(pixels)
        mask = self.preparation.mask(_mask(path, "masks"), place)
        hidden = np.zeros_like(mask)
        if part in TRUNK and (path.parents[1] / "hidden" / path.name).exists():
            hidden = self.preparation.mask(_mask(path, "hidden"), place)
        half = np.float16
        return Film(
            grid.astype(half),
            locally_normalised(grid).astype(half),
            mask,
            hidden,
            self._bones(path, place),
        )

    def _bones(self, path: Path, place: Placement) -> dict[int, NDArray[np.uint8]] | None:
        file = path.parents[1] / "bones" / f"{path.stem}.npz"
        if not file.exists():
            return None
        with np.load(file) as found:
            pairs = list(zip(found["names"].tolist(), found["masks"], strict=True))
        if not all(name in NAMES for name, _ in pairs):
            return None
        return {
            NAMES.index(name): np.packbits(self.preparation.mask(mask, place))
            for name, mask in pairs
        }

    def batch(self, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Films N x 1 x H x W; masks, hidden bone and bones N x 26 x H x W; float32.

        And which of the films have their bones: bool N.
        """
        parts = sorted(self.films)
        chances = np.array([WEIGHTS.get(part, 0.03) for part in parts])
        films, targets, known = [], [], []
        for part in rng.choice(parts, size, p=chances / chances.sum()):
            film = self.films[part][rng.integers(len(self.films[part]))]
            normalised = rng.random() < NORMALISED
            share, low, high = POWERS.get(part, OTHERS)
            if rng.random() < share:
                grid = by_power(film.plain.astype(np.float32), float(rng.uniform(low, high)))
                films.append(locally_normalised(grid) if normalised else grid)
            else:
                films.append(film.normalised if normalised else film.plain)
            target = np.zeros((2 + len(NAMES), *film.mask.shape), np.float32)
            target[:2] = film.mask, film.hidden
            for bone, bits in (film.bones or {}).items():
                target[2 + bone].flat = np.unpackbits(bits, count=film.mask.size)
            targets.append(target)
            known.append(film.bones is not None)
        stacked = torch.from_numpy(np.stack(films).astype(np.float32))[:, None]
        return stacked, torch.from_numpy(np.stack(targets)), torch.tensor(known)


def by_power(grid: NDArray[np.float32], exponent: float) -> NDArray[np.float32]:
    """A film on the working grid, float32 H x W, shown by a power of its grey values."""
    low, high = float(grid.min()), float(grid.max())
    shown = ((grid - low) / max(high - low, 1e-6)) ** exponent
    return standardised(shown.astype(np.float32)) * (grid != 0)  # padding stays 0


def _mask(image: Path, kind: str) -> NDArray[np.bool_]:
    return np.asarray(Image.open(image.parents[1] / kind / image.name)) > 127


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


def bone_loss(logits: Tensor, bones: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy over all bones, and Dice loss over those on the film: N x 24 x h x w.

    bones and weight (N x 1) are N x C x H x W of the film; they are averaged down to h x w.
    """
    logits = logits.float()
    target = functional.interpolate(bones, logits.shape[-2:], mode="area")
    weight = functional.interpolate(weight, logits.shape[-2:], mode="area")
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    entropy = (entropy.sum(1) * weight[:, 0]).mean()
    share, truth = (logits.sigmoid() * weight).flatten(2), (target * weight).flatten(2)
    overlap = 2 * (share * target.flatten(2)).sum(2) + 1
    dice = 1 - overlap / (share.sum(2) + truth.sum(2) + 1)
    present = target.flatten(2).amax(2) > 0
    return entropy + (dice * present).sum() / present.sum().clamp_min(1)


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
    pools = Pools(asked.pools, Preparation(SIDE, SIDE))
    average = between(network, network, 0.0)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trained = [
        value
        for name, value in network.named_parameters()
        if not (asked.freeze and name.startswith(("stem", "encoder")))
    ]
    optimiser = torch.optim.AdamW(trained, asked.rate, weight_decay=0.01, fused=True)
    head = BoneHead(network, len(NAMES))
    head_average = copy.deepcopy(head)
    optimiser.add_param_group({"params": list(head.parameters())})
    augment = Augmenter(RECIPE.augment.model_copy(update={"zoom": ZOOM}))
    first, saved = 0, asked.work / "checkpoint.pt"
    asked.work.mkdir(parents=True, exist_ok=True)
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        head.load_state_dict(state["head"])
        head_average.load_state_dict(state["head_average"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
    network.train()
    for step in range(first, asked.steps):
        if step % EVERY == 0 or step == first:
            count = pools.read_new()
        films, targets, known = pools.batch(asked.batch, np.random.default_rng([0, step]))
        films, targets = augment(films, targets, torch.Generator().manual_seed(step))
        cosine = 0.1 + 0.45 * (1 + math.cos(math.pi * step / asked.steps))
        for group, factor in zip(optimiser.param_groups, (1.0, HEAD_RATE), strict=True):
            group["lr"] = factor * asked.rate * min(1.0, (step + 1) / 50) * cosine
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16):
            features = network.features(films.contiguous(memory_format=torch.channels_last))
            outputs = network.logits(features, films.shape[-2:])
            names = head(features)
        weight = 1 - (1 - HIDDEN) * targets[:, 1:2]
        loss = supervised_loss(outputs, targets[:, :1], weight)
        if known.any():
            loss = loss + BONES * bone_loss(names[known], targets[known, 2:], weight[known])
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 5.0)
        optimiser.step()
        update_average(average, network, step + 1, EMA)
        update_average(head_average, head, step + 1, EMA)
        if (step + 1) % EVERY == 0 or step + 1 == asked.steps:
            print(f"{step + 1} steps, {count} films, loss {float(loss.detach()):.4f}", flush=True)
            state = {"network": network.state_dict(), "average": average.state_dict()}
            state |= {"head": head.state_dict(), "head_average": head_average.state_dict()}
            state |= {"optimiser": optimiser.state_dict(), "step": step + 1}
            torch.save(state, saved.with_suffix(".new"))
            saved.with_suffix(".new").replace(saved)
    return average.eval()


if __name__ == "__main__":
    main()
