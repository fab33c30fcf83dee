"""Overlays: a film with its mask tinted and outlined.

Image.fromarray(overlay(film.pixels, mask)).save("overlay.png")
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boneseg.preprocessing import Floats

COLOUR = (230, 159, 0)  # orange of the Okabe-Ito palette, safe for colour-blind readers
_TINT = 0.3


_GREYS = 127  # two grey ramps and the edge fit into one byte per pixel


def _palette() -> NDArray[np.uint8]:
    """The palette, 255 x 3: greys outside the mask, tinted greys inside, the edge."""
    grey = np.repeat(np.linspace(0.0, 255.0, _GREYS)[:, None], 3, axis=1)
    tinted = grey + (np.array(COLOUR) - grey) * _TINT
    return np.concatenate([grey, tinted, [COLOUR]]).round().astype(np.uint8)


_PALETTE = _palette()


def picture(pixels: Floats, mask: NDArray[np.bool_]) -> Image.Image:
    """The overlay as a palette image.

    pixels: float32 H x W in [0, 1]. mask: bool H x W.
    """
    image = Image.fromarray(_painted(pixels, mask))
    image.putpalette(_PALETTE.tobytes())
    return image


def overlay(pixels: Floats, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The overlay as uint8 H x W x 3: tinted by 30 % inside the mask, full colour on its edge.

    pixels: float32 H x W in [0, 1]. mask: bool H x W.
    """
    return _PALETTE.take(_painted(pixels, mask), axis=0)


def _painted(pixels: Floats, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Palette indices, uint8 H x W."""
    index = (pixels * (_GREYS - 1) + 0.5).astype(np.uint8)
    index += mask * np.uint8(_GREYS)
    index[_edge(mask)] = 2 * _GREYS
    return index


def _edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the mask with a 4-neighbour outside it; the film's border is not an edge."""
    padded = np.pad(mask, 1, mode="edge")
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    edge: NDArray[np.bool_] = mask & ~inside
    return edge
