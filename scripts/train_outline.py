"""Train the network of the bundled model that finds outlines, on simulated films.

    boneseg simulate --out films/chest --region chest --count 40 --size 1024 --seed 910001000 ...
    python -m scripts.train_outline --pools films/chest films/knee --work runs/outline \\
        --init BUNDLE --steps 6000 --out OTHER

The network is shown parts of films on a finer grid, with what `--model` finds on its own grids
(kept in WORK/found). `--init` starts from the weights of a bundle: of its network that finds
outlines, or else of the one that finds bone. Bone that a film does not show (`hidden/`) counts
little in the loss, and so does all that is far from the outline. An interrupted call is resumed by
repeating it. The trained network is added to a copy of the model at `--out`.
benchmarks/results/outline.md has the figures.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from boneseg.bundle.card import CardOutline
from boneseg.bundle.further import load_outline, save_outline
from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import Bundle, load_bundle, load_network
from boneseg.inference.engine import Engine
from boneseg.networks.outline import outline_network
from boneseg.networks.unet import UNet
from boneseg.preprocessing import Floats, fitted, resize
from boneseg.training.augmentation import Augmenter
from scripts.finetune_bundled import supervised_loss
from scripts.simulated_pools import POWERS, by_power, mask_of, new_films
from scripts.steps import Steps, train_steps
from scripts.train_bundled import RECIPE, between

SCALES = (1.25, 1.6, 2.0, 2.6, 3.2)  # of the grids of a film, to the working grid
SCALE = 1.8  # of the grid in use
# Real heads: with less of a bias, 1.3 times the card's, or farther away, flesh is taken for bone.
BIASES, REACHES = {"skull": -2.34}, {"skull": 4}
LARGE = 500_000  # pixels of a film that has them all; another has the first
CROP = 384  # px of a part of a film
REACH = 16  # px from the outline of the bone, or of what was found, where the answer counts fully
AWAY, HIDDEN = 0.12, 0.05  # weights in the loss far from any outline, and of bone not shown
OTHERS = 0.15, 0.4, 2.4  # as `POWERS`, of other parts
UNSURE = 0.5  # share of what was found that is shown more, or less, certain
CUT = 0.25  # share of parts whose field ends within them, at bone that goes on beyond it
UNMOVED = {"geometry": 0.0, "elastic": 0.0, "flip_horizontal": 0.0, "flip_vertical": 0.0}


Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Level:
    """A film on a finer grid, without padding; its bone, and what is hidden, as packed bits."""

    pixels: NDArray[np.float16]
    mask: NDArray[np.uint8]
    hidden: NDArray[np.uint8]

    def layers(self, found: Floats, power: float) -> Floats:
        """Film, what was found, bone, hidden bone, and 1 everywhere: float32 5 x H x W."""
        size, count = (self.pixels.shape[0], self.pixels.shape[1]), self.pixels.size
        film = self.pixels.astype(np.float32)
        bits = [np.unpackbits(one, count=count).reshape(size) for one in (self.mask, self.hidden)]
        layers = [
            by_power(film, power) if power != 1 else film,
            np.clip(resize(found, size), 0, 1),
            *bits,
            np.ones(size),
        ]
        return np.stack(layers).astype(np.float32)


@dataclass(frozen=True)
class Film:
    """What was found on a film, float16 H x W of any size, and the film on finer grids."""

    found: NDArray[np.float16]
    levels: list[Level]


@dataclass
class Parts:
    """Random parts of the films of some folders, as `scripts.steps.Films`.

    engine: what finds the bone that the network is shown. kept: the folder where that is kept.
    """

    folders: Sequence[Path]
    engine: Engine
    kept: Path
    films: dict[str, list[Film]] = field(default_factory=dict)
    known: set[Path] = field(default_factory=set)

    def read_new(self) -> int:
        """Read the films that were finished since the last call; return the number of all."""
        for part, path in new_films(self.folders, self.known):
            self.films.setdefault(part, []).append(self._read(path))
        return sum(map(len, self.films.values()))

    def _read(self, path: Path) -> Film:
        pixels = np.asarray(Image.open(path).convert("L"), np.float32) / 255
        mask, hidden = mask_of(path, "masks"), np.zeros(pixels.shape, np.bool_)
        if (path.parents[1] / "hidden" / path.name).exists():
            hidden = mask_of(path, "hidden")
        own = self.engine.bundle.card.height * self.engine.bundle.card.width
        scales = SCALES if pixels.size > LARGE else SCALES[:1]
        counts = [min(round(own * scale**2), pixels.size) for scale in scales]
        levels = [level(pixels, mask, hidden, count) for count in counts]
        return Film(self._found(path, pixels, levels[min(2, len(levels) - 1)]), levels)

    def _found(self, path: Path, film: Floats, size_of: Level) -> NDArray[np.float16]:
        """What the model finds on its own grids, in the size of a level."""
        place = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:16]
        kept = self.kept / f"{self.engine.bundle.card.card_sha256[:8]}-{place}.npy"
        if not kept.exists():
            size = size_of.pixels.shape
            found = np.clip(resize(self.engine.probability(film), (size[0], size[1])), 0, 1)
            with kept.with_suffix(".new").open("wb") as file:
                np.save(file, found.astype(np.float16))
            kept.with_suffix(".new").replace(kept)
        read: NDArray[np.float16] = np.load(kept)
        return read

    def batch(self, size: int, rng: Generator) -> tuple[Tensor, Tensor, list[str]]:
        """Films N x 1 x CROP x CROP; what was found as -1 to 1, bone, hidden bone, and where the
        film is: N x 4 x CROP x CROP; all float32; parts."""
        names = [str(one) for one in rng.choice(sorted(self.films), size)]
        views = torch.stack([self._view(name, rng) for name in names])
        inside = views[:, 4:]
        found = torch.stack([doubted(one, rng) for one in views[:, 1:2]])
        found = torch.where(inside > 0.5, 2 * found - 1, -1.0)
        bone, hidden = (views[:, 2:3] >= 0.5).float(), (views[:, 3:4] > 0.3).float()
        film = views[:, :1] * (inside > 0.5)
        return film, torch.cat([found, bone, hidden, inside], 1), names

    def _view(self, name: str, rng: Generator) -> Tensor:
        """A part of a film of a body part, turned and scaled: 5 x CROP x CROP.

        Large films have more grids, and are drawn as much more often.
        """
        films = self.films[name]
        counts = np.array([len(one.levels) for one in films])
        film = films[rng.choice(len(films), p=counts / counts.sum())]
        share, low, high = POWERS.get(name, OTHERS)
        power = float(rng.uniform(low, high)) if rng.random() < share else 1.0
        chosen = film.levels[rng.integers(len(film.levels))]
        layers = chosen.layers(film.found.astype(np.float32), power)
        part = sampled(layers, centre(layers[1], rng), rng)
        return collimated(part, rng) if rng.random() < CUT else part


def level(pixels: Floats, mask: Mask, hidden: Mask, count: int) -> Level:
    """A film on its grid of about so many pixels."""
    grid = fitted((pixels.shape[0], pixels.shape[1]), count)
    laid, place = grid.film(pixels)
    bone = place.window(grid.mask(mask, place).astype(np.float32)) > 0
    unseen = resize(hidden.astype(np.float32), place.size) >= 0.05
    return Level(place.window(laid).astype(np.float16), np.packbits(bone), np.packbits(unseen))


def centre(found: Floats, rng: Generator) -> tuple[float, float]:
    """The row and column of the middle of a part: mostly near an outline."""
    middle = []
    rows, columns = np.nonzero(np.abs(found[::4, ::4] - 0.5) < 0.4)
    if len(rows) and rng.random() < 0.9:
        at = rng.integers(len(rows))
        near = 4 * int(rows[at]), 4 * int(columns[at])
    else:
        near = int(rng.integers(found.shape[0])), int(rng.integers(found.shape[1]))
    for place, side in zip(near, found.shape, strict=True):
        edge = min(CROP / 2, side / 2)
        middle.append(min(max(place + rng.uniform(-0.35, 0.35) * CROP, edge), side - edge))
    return middle[0], middle[1]


def sampled(layers: Floats, middle: tuple[float, float], rng: Generator) -> Tensor:
    """A part of these layers around a point, turned, scaled and mirrored: C x CROP x CROP."""
    angle = 0.15 * rng.normal() * (rng.random() < 0.6)
    if rng.random() < 0.1:
        angle += math.pi / 2 * rng.integers(-1, 2)
    scale, mirrored = math.exp(rng.uniform(-0.2, 0.2)), rng.random() < 0.5
    steps = torch.arange(CROP) + 0.5 - CROP / 2
    down, across = torch.meshgrid(steps, steps, indexing="ij")
    across = -across if mirrored else across
    x = (math.cos(angle) * across - math.sin(angle) * down) * scale + middle[1]
    y = (math.sin(angle) * across + math.cos(angle) * down) * scale + middle[0]
    grid = torch.stack([2 * x / layers.shape[2] - 1, 2 * y / layers.shape[1] - 1], -1)
    return functional.grid_sample(torch.from_numpy(layers)[None], grid[None], align_corners=False)[
        0
    ]


def collimated(layers: Tensor, rng: Generator) -> Tensor:
    """A part, C x CROP x CROP, of a film whose field ends within it, as if bone filled the field.

    Films of details often show bone to the very edge of the field, simulated ones seldom do.
    """
    angle, inside = rng.uniform(-0.3, 0.3), torch.ones(CROP, CROP)
    steps = torch.arange(CROP) + 0.5 - CROP / 2
    down, across = torch.meshgrid(steps, steps, indexing="ij")
    for turned in rng.choice(4, rng.integers(1, 5), replace=False):
        to = angle + turned * math.pi / 2
        reach = math.cos(to) * across + math.sin(to) * down
        inside *= reach < rng.uniform(0.1, 0.5) * CROP
    soft = functional.avg_pool2d(inside[None], 5, 1, 2, count_include_pad=False)[0]
    film, found, bone, hidden, covered = layers
    low, high = float(film.min()), float(film.max())
    beyond = rng.uniform(low, high) if rng.random() < 0.3 else low - 0.2 * rng.exponential()
    film = beyond + (soft if rng.random() < 0.5 else inside) * (film - beyond)
    return torch.stack([film, found * soft, bone * inside, hidden * inside, covered])


def doubted(found: Tensor, rng: Generator) -> Tensor:
    """A probability as another model might give it: more, or less, certain."""
    if rng.random() >= UNSURE:
        return found
    logit = torch.logit(found, 1e-3) * math.exp(0.3 * rng.normal()) + 0.4 * rng.normal()
    return logit.sigmoid()


def weight_of(targets: Tensor) -> Tensor:
    """The weight of each pixel in the loss, N x 1 x H x W, from the targets of `Parts.batch`."""
    found, bone, hidden, inside = targets.split(1, 1)
    close = torch.maximum(near_edge(bone), near_edge((found > 0).float()))
    return (AWAY + (1 - AWAY) * close) * (1 - (1 - HIDDEN) * hidden) * inside + 1e-6


def near_edge(mask: Tensor) -> Tensor:
    """Where an edge of masks N x 1 x H x W is within some REACH px: 1, elsewhere 0."""
    cells = REACH // 4
    both = [
        functional.max_pool2d(functional.max_pool2d(side, 4), 2 * cells + 1, 1, cells)
        for side in (mask, 1 - mask)
    ]
    return functional.interpolate(both[0] * both[1], scale_factor=4.0)


def begun(bundle: Bundle) -> UNet:
    """The network that finds outlines of a bundle, or else one with the weights of its other."""
    if bundle.card.outlines is not None:
        return load_outline(bundle)
    before = load_network(bundle).state_dict()
    network = outline_network(bundle.card.network.widths)
    state = network.state_dict()
    stem = torch.zeros_like(state["stem.weight"])  # what was found counts for nothing at first
    stem[:, :1] = before["stem.weight"]
    network.load_state_dict(before | {"stem.weight": stem})
    return network


def trained(asked: argparse.Namespace, model: Bundle) -> nn.Module:
    """Train; return the exponential moving average of the weights."""
    kept = asked.work / "found"
    kept.mkdir(parents=True, exist_ok=True)
    plain = replace(model, card=replace(model.card, outlines=None, biases={}))
    parts = Parts(asked.pools, Engine(plain, threads=1), kept)
    network = begun(load_bundle(asked.init))
    average = between(network, network, 0.0)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()

    def loss_of(films: Tensor, targets: Tensor, _: list[str]) -> Tensor:
        seen = torch.cat([films, targets[:, :1]], 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = network(seen)
        return supervised_loss(outputs, targets[:, 1:2], weight_of(targets))

    augment = Augmenter(RECIPE.augment.model_copy(update=UNMOVED))
    steps = Steps(asked.work, asked.steps, asked.batch, asked.rate, 0.05, 7, augment)
    return train_steps(steps, parts, network, average, list(network.parameters()), loss_of)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--pools", type=Path, nargs="+", required=True, help="folders of films")
    words.add_argument("--work", type=Path, default=Path("runs/outline"))
    words.add_argument("--model", type=Path, default=bundled(), help="the bundle it is for")
    words.add_argument("--init", type=Path, default=bundled(), help="the bundle to start from")
    words.add_argument("--steps", type=int, default=6000)
    words.add_argument("--batch", type=int, default=4)
    words.add_argument("--rate", type=float, default=3e-4, help="of learning, at its highest")
    words.add_argument("--stay", type=float, default=0.0, help="share of old weights that stays")
    words.add_argument("--out", type=Path, required=True)
    asked = words.parse_args()
    model = load_bundle(asked.model)
    network = between(trained(asked, model), begun(load_bundle(asked.init)), asked.stay)
    assert isinstance(network, UNet)
    if not asked.out.exists():
        shutil.copytree(model.path, asked.out)
    saved = save_outline(asked.out, network, CardOutline(SCALE, network.widths, BIASES, REACHES))
    print(f"the model: {saved.path}")


if __name__ == "__main__":
    main()
