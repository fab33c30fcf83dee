"""The film with its bones tinted and outlined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boneseg.masks import save_png
from boneseg.prepare import Floats
from boneseg.writers import Reading

COLOUR = (230, 159, 0)  # the orange of Okabe and Ito, told apart by every kind of colour vision
_TINT = 0.3


def _table() -> NDArray[np.uint8]:
    """The colour of each grey outside a mask, of each inside, and of its edge: 513 x 3."""
    grey = np.repeat(np.arange(256.0)[:, None], 3, axis=1)
    tinted = grey + (np.array(COLOUR) - grey) * _TINT
    return np.concatenate([grey, tinted, [COLOUR]]).round().astype(np.uint8)


_TABLE = _table()


def write(path: Path, reading: Reading) -> None:
    """Write the film with its mask on it as 8-bit RGB. Raises OutputError."""
    save_png(path, Image.fromarray(overlay(reading.film.pixels, reading.finding.mask)))


def overlay(pixels: Floats, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """uint8 H x W x 3: a third of the colour inside the mask, all of it on its edge."""
    index = (pixels * 255 + 0.5).astype(np.uint16)
    index += mask * np.uint16(256)
    index[_edge(mask)] = 2 * 256
    return _TABLE.take(index, axis=0)


def _edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the mask with a neighbour outside it (the film's border is no edge)."""
    padded = np.pad(mask, 1, mode="edge")
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    edge: NDArray[np.bool_] = mask & ~inside
    return edge
