"""A small model that names two bones, trained in a second on drawn films.

bundle = save_named_bundle(folder / "bones")
film, femur, tibia = knee(np.random.default_rng(0))
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from boneseg.bundle.card import CardBones
from boneseg.bundle.further import save_names
from boneseg.bundle.store import Bundle, save_bundle
from boneseg.networks import build
from boneseg.networks.bones import bone_names
from boneseg.preprocessing import standardised
from boneseg.recipes.network import SettledNetwork
from tests.support.readings import card

NAMES = ("femur", "tibia")
PARTS = ("knee", "hand")
WIDTHS = (8, 16, 16, 16)
STEPS, BATCH = 120, 4
SIDE = 64  # px of the model's grid
Mask = NDArray[np.bool_]


def knee(
    rng: np.random.Generator, height: int = 128, width: int = 128
) -> tuple[NDArray[np.float32], Mask, Mask]:
    """A film, float32 in [0, 1], with a femur above and a brighter tibia, which overlap.

    The model knows square films.
    """
    rows, columns = np.mgrid[:height, :width] / [[[height]], [[width]]]
    middle, half = rng.uniform(0.4, 0.6), rng.uniform(0.12, 0.2)
    femur = (np.abs(columns - middle) < half) & (rows < 0.56)
    tibia = (np.abs(columns - middle) < half + 0.05) & (rows > 0.48)
    film = 0.1 + 0.4 * femur + 0.55 * tibia * ~femur + 0.35 * (femur & tibia)
    film = film + rng.normal(0, 0.01, film.shape)
    return np.clip(film, 0, 1).astype(np.float32), femur, tibia


def save_named_bundle(path: Path) -> Bundle:
    """Train the model, on one core: it is small, and write its bundle."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _saved(path)
    finally:
        torch.set_num_threads(threads)


def _saved(path: Path) -> Bundle:
    torch.manual_seed(0)
    settings = SettledNetwork(widths=(8, 16), levels=2, norm="instance", deep_supervision=False)
    network = build(settings)
    named = bone_names(WIDTHS, len(NAMES), len(PARTS)).train()
    optimiser = torch.optim.Adam([*network.parameters(), *named.parameters()], 0.02)
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        knees = [knee(rng, SIDE, SIDE) for _ in range(BATCH)]
        films = torch.from_numpy(np.stack([standardised(film) for film, *_ in knees]))[:, None]
        bones = torch.from_numpy(np.stack([masks for _, *masks in knees])).float()
        logits = network(films)
        assert isinstance(logits, torch.Tensor)
        mask = bones.amax(1, keepdim=True)
        parts = torch.rand(BATCH, len(PARTS), 1, 1).expand(-1, -1, SIDE, SIDE)
        names = named(torch.cat([films, 2 * mask - 1, parts], 1))
        assert isinstance(names, torch.Tensor)
        loss = cross_entropy(logits, mask) + cross_entropy(names, bones)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    blank = card(
        architecture=settings.model_dump(), height=SIDE, width=SIDE, fitted=True, flips=True
    )
    save_bundle(path, network.eval(), blank, half=True)
    return save_names(path, named.eval(), CardBones(NAMES, PARTS, WIDTHS, SIDE, SIDE))
