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
from boneseg.bundle.names import save_names
from boneseg.bundle.store import Bundle, save_bundle
from boneseg.networks import build
from boneseg.networks.bones import BoneDecoder, NamedBones
from boneseg.networks.unet import UNet
from boneseg.preprocessing import standardised
from boneseg.recipes.network import SettledNetwork
from tests.support.readings import card

NAMES = ("femur", "tibia")
WIDTHS = (8, 8)
STEPS = 120
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
    assert isinstance(network, UNet)
    named = NamedBones(network, BoneDecoder(network.widths, len(NAMES), WIDTHS)).train()
    optimiser = torch.optim.Adam(named.parameters(), 0.02)
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        film, *masks = knee(rng, SIDE, SIDE)
        films = torch.from_numpy(standardised(film))[None, None]
        bones = torch.from_numpy(np.stack(masks))[None].float()
        logits = network(films)
        assert isinstance(logits, torch.Tensor)
        loss = cross_entropy(logits, bones.amax(1, keepdim=True))
        loss = loss + cross_entropy(named(films), bones)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    blank = card(
        architecture=settings.model_dump(), height=SIDE, width=SIDE, fitted=True, flips=True
    )
    save_bundle(path, network.eval(), blank, half=True)
    return save_names(path, named.eval().decoder, CardBones(NAMES, WIDTHS))
