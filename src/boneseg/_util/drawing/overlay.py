"""Overlays: a film with its mask tinted and outlined.

Image.fromarray(overlay(film.pixels, mask)).save("overlay.png")
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boneseg.preprocessing import Floats

Colour: TypeAlias = tuple[int, int, int]

COLOUR = (230, 159, 0)  # orange of the Okabe-Ito palette, safe for colour-blind readers
_TINT = 0.3
_SMALLEST, _LINES = 11, 50  # px of a letter's height; lines of text on the height of a film

_STRIPE = 64  # rows whose levels stay in a processor's cache
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


def named_picture(
    pixels: Floats, bones: Sequence[tuple[str, Colour, NDArray[np.bool_]]]
) -> Image.Image:
    """The film with each bone tinted and outlined in its colour, and its name in its middle.

    pixels: float32 H x W in [0, 1]. bones: name (not drawn where empty), colour and mask of each,
    bool H x W; they may overlap.
    """
    from PIL import ImageDraw, ImageFont

    painted = np.repeat((pixels * 255)[:, :, None], 3, axis=2)
    for _, colour, mask in bones:
        painted[mask] += (np.array(colour, np.float32) - painted[mask]) * _TINT
    for _, colour, mask in bones:
        painted[_edge(mask)] = colour
    image = Image.fromarray(painted.round().astype(np.uint8))
    size = max(_SMALLEST, max(pixels.shape) // _LINES)
    font, pen = ImageFont.load_default(size), ImageDraw.Draw(image)
    for name, colour, mask in bones:
        if name and mask.any():
            row, column = _inside(mask)
            at = min(max(column, len(name) * size // 4), pixels.shape[1] - len(name) * size // 4)
            pale = tuple((255 + value) // 2 for value in colour)  # dark letters could not be read
            pen.text(
                (at, row), name, pale, font, "mm", stroke_width=max(1, size // 8), stroke_fill=0
            )
    return image


def _inside(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """A pixel of the mask: the middle one of the row that halves it."""
    rows = np.cumsum(mask.sum(axis=1))
    row = int(np.searchsorted(rows, rows[-1] / 2))
    columns = np.flatnonzero(mask[row])
    return row, int(columns[len(columns) // 2])


def _painted(pixels: Floats, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Palette indices, uint8 H x W."""
    mask = np.ascontiguousarray(mask)
    index = np.empty(mask.shape, np.uint8)
    for start in range(0, len(index), _STRIPE):
        levels = pixels[start : start + _STRIPE] * (_GREYS - 1)
        levels += 0.5
        index[start : start + _STRIPE] = levels
    index += mask * np.uint8(_GREYS)
    np.copyto(index, 2 * _GREYS, where=_edge(mask))
    return index


def _edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the mask with a 4-neighbour outside it; the film's border is not an edge."""
    padded = np.pad(mask, 1, mode="edge")
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    edge: NDArray[np.bool_] = mask & ~inside
    return edge
