"""From a film's pixel grid to the network's, and exactly back.

Nothing else in boneseg resizes or normalises. The preparation that a model was trained with is
written into its bundle, and is the only one used to segment with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]

_CELLS = 8  # along the longer side of a film whose contrast is levelled
_FLOOR = 0.4  # of its deviation, beside the local one: keeps noise down where nothing is
_MOST = 2.0  # times its size that a film grows for a grid of its shape


@dataclass(frozen=True)
class Placement:
    """Where a film lies on the working grid: rows [top, top + height), likewise columns."""

    film: tuple[int, int]  # height, width of the film, px
    square: tuple[int, int]  # the same, of the film in square pixels
    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Preparation:
    """A working grid of `height` x `width` px on which every film is laid, its aspect kept.

    The film is scaled to fit (area average when it shrinks, cubic when it grows), centred, and
    its grey values are brought to mean 0 and standard deviation 1 over the film; around it is 0.
    Pixels of the working grid are squares, whatever those of the film are: bones have their
    proportions there.
    """

    height: int
    width: int

    def place(self, film: tuple[int, int], aspect: float = 1.0) -> Placement:
        """Where a film of (height, width) px lies on the working grid.

        aspect: the height of its pixels over their width.
        """
        square = in_squares(film, aspect)
        scale = min(self.height / square[0], self.width / square[1])
        height = min(self.height, max(1, round(square[0] * scale)))
        width = min(self.width, max(1, round(square[1] * scale)))
        top, left = (self.height - height) // 2, (self.width - width) // 2
        return Placement(film, square, top, left, height, width)

    def film(self, pixels: Floats, aspect: float = 1.0) -> tuple[Floats, Placement]:
        """Lay a film (float32 H x W) on the working grid; returns float32 height x width."""
        place = self.place((pixels.shape[0], pixels.shape[1]), aspect)
        small = resize(pixels, (place.height, place.width))
        return self._lay(standardised(small), place), place

    def mask(self, mask: NDArray[np.bool_], place: Placement) -> NDArray[np.bool_]:
        """Lay a mask (bool H x W) where its film lies: pixels at least half bone are bone.

        Where there are none, for the bone is small, those of the most bone are: it never vanishes.
        """
        small = resize(mask.astype(np.float32), (place.height, place.width))
        least = min(0.5, float(small.max())) if mask.any() else 0.5
        return self._lay(small, place) >= least

    def restore(self, probability: Floats, place: Placement) -> Floats:
        """A probability on the working grid back on the film's own: float32 H x W in [0, 1]."""
        window = probability[
            place.top : place.top + place.height, place.left : place.left + place.width
        ]
        return np.clip(resize(window, place.film), 0.0, 1.0)

    def _lay(self, small: Floats, place: Placement) -> Floats:
        grid = np.zeros((self.height, self.width), np.float32)
        grid[place.top : place.top + place.height, place.left : place.left + place.width] = small
        return grid


def fitted(film: tuple[int, int], pixels: int) -> Preparation:
    """The working grid of about so many pixels in the shape of a film (height, width).

    Its sides are multiples of 32. A film of fewer pixels is a part of one more often than a small
    one, and what is on it close: it grows beyond so many pixels, to twice its size at most.

    >>> fitted((1024, 128), 320 * 320), fitted((256, 256), 320 * 320)
    (Preparation(height=896, width=128), Preparation(height=384, width=384))
    """
    scale = math.sqrt(pixels / (film[0] * film[1]))
    scale = min(_MOST, scale**2) if scale > 1 else scale
    return Preparation(multiple_of_32(film[0] * scale), multiple_of_32(film[1] * scale))


def multiple_of_32(length: float) -> int:
    """The nearest side of a working grid, px: no network pads it."""
    return max(32, round(length / 32) * 32)


def standardised(pixels: Floats) -> Floats:
    """Grey values at mean 0 and standard deviation 1; all 0 where there is but one."""
    spread = float(pixels.std())
    return (pixels - pixels.mean()) / spread if spread > 1e-6 else np.zeros_like(pixels)


def levelled(grid: Floats) -> Floats:
    """A film on its working grid with its contrast levelled, float32 height x width, mean 0, std 1.

    Most of what is bright or dark, and of what is sharp or flat, by and large is taken out, so that
    bone shows where a film is nearly black or white. After the local contrast normalisation of
    Jarrett et al., "What is the best multi-stage architecture for object recognition?", 2009.
    """
    size = (grid.shape[0], grid.shape[1])
    side = max(size) / _CELLS
    cells = (max(1, round(size[0] / side)), max(1, round(size[1] / side)))

    def local(values: Floats) -> Floats:
        return resize(resize(values, cells), size)

    rest = grid - local(grid)
    spread = np.sqrt(np.maximum(local(rest**2), 0))
    return standardised(np.asarray(rest / (spread + _FLOOR), np.float32))


def in_squares(film: tuple[int, int], aspect: float) -> tuple[int, int]:
    """The (height, width) of a film once its pixels are squares: it only grows, and loses nothing.

    >>> in_squares((100, 80), 1.5), in_squares((100, 80), 0.5)
    ((150, 80), (100, 160))
    """
    height, width = film
    return (round(height * aspect), width) if aspect > 1 else (height, round(width / aspect))


def resize(pixels: Floats, size: tuple[int, int]) -> Floats:
    """float32 H x W to (height, width): area average when shrinking, cubic when growing.

    Pixel centres keep their place (the half-pixel convention), so that there and back again is
    without a shift. Each axis takes its own filter.
    """
    height, width = size
    if height < pixels.shape[0]:
        pixels = _averaged(pixels, height)
    if width < pixels.shape[1]:
        pixels = _averaged(np.ascontiguousarray(pixels.T), width).T
    image = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.float32))
    for axis_size in ((width, image.height), (width, height)):
        if axis_size != image.size:
            image = image.resize(axis_size, Image.Resampling.BICUBIC)
    return np.array(image, dtype=np.float32)


def _averaged(pixels: Floats, rows: int) -> Floats:
    """The means over equal parts of the height; a row across an edge counts for what lies in each.

    (Pillow's box filter takes such a row for whole: an outline moves by up to half a pixel.)
    """
    count = len(pixels)
    edges = np.arange(rows + 1) * count / rows
    above, below = edges[:-1], edges[1:]
    total = np.zeros((rows, pixels.shape[1]), np.float32)
    for offset in range(math.ceil(count / rows) + 1):
        at = above.astype(np.intp) + offset
        share = np.maximum(np.minimum(below, at + 1) - np.maximum(above, at), 0)
        row = pixels[np.minimum(at, count - 1)]
        total += share.astype(np.float32)[:, None] * row
    return total / np.float32(count / rows)
