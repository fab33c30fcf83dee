"""Map films from their own pixel grid to the network's, and exactly back.

All resizing and normalisation in boneseg is done here. The preparation used in training is stored
in the bundle and is the only one used for inference with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Sums = TypeVar("Sums", np.float32, np.uint16, np.uint32)

_BLOCK = 2**18  # pixels converted and averaged at once: they fit into a processor's cache
_MEANS = (
    1_300_000  # at least, of a film that is averaged in two steps: twice a grid's height and width
)
_SECOND = 2  # means, at least, in the height and the width of a pixel of the second step
_CELLS = 8  # along the longer side of a film, for contrast normalisation
_FLOOR = 0.4  # added to the local standard deviation: limits noise in empty regions
_MOST = 2.0  # largest magnification of a film for a fitted grid


class Film(Protocol):
    """Grey values that are converted as they are needed: see `radiograph/grey.py`."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, px."""

    def rows(self, part: slice) -> Floats:
        """Some rows, float32; not to be changed."""

    def reduced(self, factor: int) -> Floats:
        """The means of factor x factor pixels: see `means`."""


@dataclass(frozen=True)
class _Rows:
    """An array as a `Film`."""

    pixels: Floats

    @property
    def shape(self) -> tuple[int, int]:
        return self.pixels.shape[0], self.pixels.shape[1]

    def rows(self, part: slice) -> Floats:
        return self.pixels[part]

    def reduced(self, factor: int) -> Floats:
        return means(self.rows, self.shape, factor, np.float32)


@dataclass(frozen=True)
class Placement:
    """The position of a film on the working grid: rows [top, top + height), likewise columns."""

    film: tuple[int, int]  # height, width of the film, px
    square: tuple[int, int]  # the same, resampled to square pixels
    top: int
    left: int
    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width on the working grid."""
        return self.height, self.width

    def window(self, grid: Floats) -> Floats:
        """The part of the working grid that the film covers, height x width."""
        return grid[self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True)
class Preparation:
    """A working grid of `height` x `width` px on which films are placed with their aspect kept.

    The film is scaled to fit (area averaging down, cubic interpolation up), centred, and
    normalised to mean 0 and standard deviation 1 over the film; the padding is 0. The working
    grid has square pixels even if the film has not, so bones keep their proportions.
    """

    height: int
    width: int

    def place(self, film: tuple[int, int], aspect: float = 1.0) -> Placement:
        """The position of a film of (height, width) px on the working grid.

        aspect: the height of its pixels divided by their width.
        """
        square = in_squares(film, aspect)
        scale = min(self.height / square[0], self.width / square[1])
        height = min(self.height, max(1, round(square[0] * scale)))
        width = min(self.width, max(1, round(square[1] * scale)))
        top, left = (self.height - height) // 2, (self.width - width) // 2
        return Placement(film, square, top, left, height, width)

    def film(self, pixels: Film | Floats, aspect: float = 1.0) -> tuple[Floats, Placement]:
        """Place a film on the working grid, float32 height x width."""
        place = self.place((pixels.shape[0], pixels.shape[1]), aspect)
        return self.laid(resize(pixels, place.size), place), place

    def laid(self, small: Floats, place: Placement) -> Floats:
        """Lay a film that has the size of its placement on the working grid, normalised."""
        return self._lay(standardised(small), place)

    def mask(self, mask: NDArray[np.bool_], place: Placement) -> NDArray[np.bool_]:
        """Place a mask (bool H x W) as its film: pixels that are at least half bone are bone.

        If the bone is too small for that, the pixels with the most bone are: it never vanishes.
        """
        small = resize(mask.astype(np.float32), place.size)
        least = min(0.5, float(small.max())) if mask.any() else 0.5
        return self._lay(small, place) >= least

    def restore(self, probability: Floats, place: Placement) -> Floats:
        """Map a probability on the working grid to the film's grid: float32 H x W in [0, 1]."""
        return np.clip(resize(place.window(probability), place.film), 0.0, 1.0)

    def _lay(self, small: Floats, place: Placement) -> Floats:
        grid = np.zeros((self.height, self.width), np.float32)
        grid[place.top : place.top + place.height, place.left : place.left + place.width] = small
        return grid


@dataclass(frozen=True)
class Stretched(Preparation):
    """A working grid that every film fills: its aspect is not kept.

    For what is told from where the bones lie to each other: a film of a whole leg would be a few
    pixels wide.
    """

    def place(self, film: tuple[int, int], aspect: float = 1.0) -> Placement:
        """The position of a film of (height, width) px on the working grid: all of it."""
        return Placement(film, in_squares(film, aspect), 0, 0, self.height, self.width)


def fitted(film: tuple[int, int], pixels: int) -> Preparation:
    """The working grid with about `pixels` pixels and the shape of a film (height, width).

    Its sides are multiples of 32. A film with fewer pixels is usually a cropped region rather than
    a downsampled film, so it is magnified beyond `pixels`, to at most twice its size.

    >>> fitted((1024, 128), 320 * 320), fitted((256, 256), 320 * 320)
    (Preparation(height=896, width=128), Preparation(height=384, width=384))
    """
    scale = math.sqrt(pixels / (film[0] * film[1]))
    scale = min(_MOST, scale**2) if scale > 1 else scale
    return Preparation(multiple_of_32(film[0] * scale), multiple_of_32(film[1] * scale))


def multiple_of_32(length: float) -> int:
    """The nearest multiple of 32, px: a side that no network has to pad."""
    return max(32, round(length / 32) * 32)


def standardised(pixels: Floats) -> Floats:
    """Normalise grey values to mean 0 and standard deviation 1; a constant image becomes 0."""
    spread = float(pixels.std())
    return (pixels - pixels.mean()) / spread if spread > 1e-6 else np.zeros_like(pixels)


def locally_normalised(grid: Floats) -> Floats:
    """Normalise the local contrast of a film on its working grid, float32, to mean 0, std 1.

    Large-scale variation of brightness and contrast is removed, so that bone is visible where the
    film is nearly black or white. After the local contrast normalisation of Jarrett et al.,
    "What is the best multi-stage architecture for object recognition?", 2009.
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
    """The (height, width) of a film resampled to square pixels; neither side shrinks.

    >>> in_squares((100, 80), 1.5), in_squares((100, 80), 0.5)
    ((150, 80), (100, 160))
    """
    height, width = film
    return (round(height * aspect), width) if aspect > 1 else (height, round(width / aspect))


def resize(film: Film | Floats, size: tuple[int, int]) -> Floats:
    """Resize float32 H x W to (height, width): area averaging down, cubic interpolation up.

    Uses the half-pixel convention, so a round trip causes no shift. Each axis is filtered
    separately.
    """
    return resized(film, [size])[0]


def resized(film: Film | Floats, sizes: Sequence[tuple[int, int]]) -> list[Floats]:
    """As `resize` to each of these sizes, in one pass over the film.

    A film of more than 5 megapixels is first reduced to means of a few pixels, and sizes much
    smaller than these are averaged from them, in half the time. A mean that straddles two pixels is
    divided between them as if its own pixels were equal. Each result depends on the film and its
    size alone, not on the other sizes.
    """
    rows = _Rows(film) if isinstance(film, np.ndarray) else film
    factor = _first_factor(rows.shape)
    coarse = [size for size in sizes if _is_coarse(size, rows.shape, factor)]
    fine = [size for size in sizes if size not in coarse]
    found = dict(zip(fine, _averaged_to(rows, rows.shape, fine), strict=True))
    if coarse:
        small, extent = _Rows(rows.reduced(factor)), [side / factor for side in rows.shape]
        found |= zip(coarse, _averaged_to(small, extent, coarse), strict=True)
    return [found[size] for size in sizes]


def _first_factor(film: tuple[int, int]) -> int:
    """The side, in pixels of a film, of the squares averaged in the first step; 1: no such step."""
    return max(1, math.isqrt(film[0] * film[1] // _MEANS))


def _is_coarse(size: tuple[int, int], film: tuple[int, int], factor: int) -> bool:
    """Whether a size can be averaged from the means of squares of a film."""
    sides = zip(size, film, strict=True)
    return factor > 1 and all(old // factor >= _SECOND * new for new, old in sides)


def _averaged_to(
    film: Film, extent: Sequence[float], sizes: Sequence[tuple[int, int]]
) -> list[Floats]:
    """A film in these sizes. extent: its height and width, of which the last row and column can be
    a part."""
    tall, wide = extent
    heights = list(dict.fromkeys(height for height, _ in sizes if height < tall))
    averaged = dict(zip(heights, _averaged(film, heights, tall), strict=True))
    return [
        _to_width(
            averaged[height] if height in averaged else film.rows(slice(None)), wide, height, width
        )
        for height, width in sizes
    ]


def _to_width(pixels: Floats, wide: float, height: int, width: int) -> Floats:
    """Resize a film that has been averaged over its height, if that shrinks, to (height, width).

    wide: as `tall` of `_averaged`.
    """
    from PIL import Image  # not before the networks are being loaded

    if width < wide:
        pixels = _averaged(_Rows(np.ascontiguousarray(pixels.T)), [width], wide)[0].T
    if pixels.shape == (height, width):
        return np.array(pixels, np.float32, order="C")
    image = Image.fromarray(np.ascontiguousarray(pixels, dtype=np.float32))
    for axis_size in ((width, image.height), (width, height)):
        if axis_size != image.size:
            image = image.resize(axis_size, Image.Resampling.BICUBIC)
    return np.array(image, dtype=np.float32)


def means(
    rows: Callable[[slice], NDArray[np.generic]],
    film: tuple[int, int],
    factor: int,
    kind: type[Sums],
) -> Floats:
    """The means of factor x factor pixels, float32; at the bottom and on the right, of the rest.

    Much quicker than `resize` where the result is large. rows: some rows of the film, which has
    (height, width). kind: a type that holds the sum of factor x factor pixels.
    """
    (height, width), (whole, across) = film, (side // factor for side in film)
    small = np.empty((-(-height // factor), -(-width // factor)), np.float32)
    step = max(1, _BLOCK // (factor * width))
    for start in range(0, whole, step):
        end = min(start + step, whole)
        lines = _sums(rows(slice(start * factor, end * factor)), factor, kind)
        sums = _sums(lines[:, : across * factor].T, factor, kind).T
        np.divide(sums, np.float32(factor**2), out=small[start:end, :across])
        if across * factor < width:
            small[start:end, across] = lines[:, across * factor :].mean(axis=1) / factor
    if whole * factor < height:
        rest = rows(slice(whole * factor, height)).mean(axis=0)
        starts = np.arange(0, width, factor)
        small[whole] = np.add.reduceat(rest, starts) / np.diff(starts, append=width)
    return small


def _sums(lines: NDArray[np.generic], factor: int, kind: type[Sums]) -> NDArray[Sums]:
    """The sum of each `factor` lines."""
    total = lines[::factor].astype(kind)
    for first in range(1, factor):
        np.add(total, lines[first::factor], out=total)
    return total


def _averaged(film: Film, heights: Sequence[int], tall: float) -> list[Floats]:
    """Average over equal parts of the height; a row across a boundary is split by its overlap.

    heights: each fewer rows than the film has. tall: the film's height in rows, of which the last
    can be a part. (Pillow's box filter counts a split row as whole: an outline moves by up to half
    a pixel.)
    """
    count, width = film.shape
    averages = [_Average(tall, width, rows) for rows in heights]
    step = max(1, _BLOCK // width)
    for start in range(0, count if averages else 0, step):
        block = film.rows(slice(start, min(start + step, count)))
        for average in averages:
            average.add(block, start)
    return [average.total for average in averages]


class _Average:
    """The average of a film, given from its top to its bottom, over equal parts of its height.

    Always summed in the order of the rows: a network in bfloat16 shows any other rounding in its
    masks.
    """

    def __init__(self, tall: float, width: int, rows: int) -> None:
        edges = np.arange(rows + 1) * tall / rows
        self._first = np.floor(edges[:-1]).astype(np.intp)  # row of each part
        self._last = np.minimum(np.ceil(edges[1:]), math.ceil(tall)).astype(np.intp) - 1
        self._head = (self._first + 1 - edges[:-1]).astype(np.float32)  # weight of the first row
        self._tail = (edges[1:] - self._last).astype(np.float32)
        self._most = int((self._last - self._first).max())  # rows of a part, but the last
        self._weights = np.ones(self._most + 1, np.float32)
        self._sums = np.zeros((rows, width), np.float32)
        self._part, self._rows = 0, np.float32(tall / rows)

    @property
    def total(self) -> Floats:
        """The average, after all rows."""
        self._sums /= self._rows
        return self._sums

    def add(self, block: Floats, start: int) -> None:
        """Add the rows from `start` on."""
        part, end = self._part, start + len(block)
        if self._first[part] < start:  # begun in an earlier block
            for row in block[: self._last[part] - start]:
                self._sums[part] += row
            if self._last[part] < end:
                self._sums[part] += block[self._last[part] - start] * self._tail[part]
                part += 1
        stop = max(part, int(np.searchsorted(self._last, end)))
        if stop - part > self._most:
            self._add_at_once(block, start, slice(part, stop))
        else:
            for one in range(part, stop):
                self._begin(one, block[self._first[one] - start : self._last[one] - start])
                self._sums[one] += block[self._last[one] - start] * self._tail[one]
        if stop < len(self._sums) and start <= self._first[stop] < end:
            self._begin(stop, block[self._first[stop] - start :])
        self._part = min(stop, len(self._sums) - 1)

    def _begin(self, part: int, rows: Floats) -> None:
        """Set a part to the sum of its rows but the last, which can be those of one block."""
        self._weights[0] = self._head[part]
        _sum(self._weights[: len(rows)], rows, self._sums[part])

    def _add_at_once(self, block: Floats, start: int, parts: slice) -> None:
        """Sum parts that lie in a block, row for row: they are more than the rows of each."""
        first, last, sums = self._first[parts] - start, self._last[parts] - start, self._sums[parts]
        np.multiply(block[first], self._head[parts, None], out=sums)
        least, most = int((last - first).min()), int((last - first).max())
        for step in range(1, least):
            sums += block[first + step]
        for step in range(max(1, least), most):
            more = np.flatnonzero(first + step < last)
            sums[more] += block[first[more] + step]
        sums += block[last] * self._tail[parts, None]


def _sum(weights: Floats, rows: Floats, sums: Floats) -> None:
    """Set the sums to those of weighted rows, added in their order."""
    if len(sums) > 1:
        np.einsum("i,ij->j", weights, rows, out=sums)
    else:  # of a single column einsum adds several rows at once
        sums[:] = np.add.accumulate(weights * rows[:, 0])[-1]
