"""Films on the working grid as tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from boneseg.dataset.case import Case
from boneseg.dataset.load import Film
from boneseg.preprocessing import Preparation
from boneseg.radiograph.film import Radiograph
from boneseg.training.tensors import prepare_films


def film(height: int, width: int) -> Film:
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 2, width // 4 : width // 2] = True
    pixels = np.where(mask, np.float32(0.8), np.float32(0.2))
    path = Path(f"{height}.png")
    return Film(Case(path.stem, path, path), Radiograph(pixels, None, "unknown", path), mask)


def test_films_of_any_size_lie_on_one_grid_and_come_back() -> None:
    films = [film(120, 80), film(64, 64), film(40, 200)]
    preparation = Preparation(64, 96)
    found = prepare_films(films, preparation)
    assert len(found) == 3
    assert found.films.shape == found.masks.shape == (3, 1, 64, 96)
    assert (found.films.dtype, found.masks.dtype) == (torch.float32, torch.bool)
    for one, mask, place in zip(films, found.masks, found.places, strict=True):
        back = preparation.restore(mask[0].float().numpy(), place) >= 0.5
        assert back.shape == one.mask.shape
        both = (back & one.mask).sum() / (back | one.mask).sum()
        assert both > 0.8


def test_no_films_are_no_tensors() -> None:
    assert len(prepare_films([], Preparation(32, 32))) == 0
