"""A synthetic film with its mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from boneseg.dataset.case import Case
from boneseg.dataset.load import Film
from boneseg.radiograph.film import Radiograph


def film(name: str, group: str | None = None, shape: tuple[int, int] = (60, 40)) -> Film:
    mask = np.zeros(shape, np.bool_)
    mask[10:40, 10:30] = True
    pixels = np.where(mask, np.float32(0.8), np.float32(0.2))
    path = Path(f"{name}.png")
    return Film(Case(name, path, path, group), Radiograph(pixels, None, "unknown", path), mask)
