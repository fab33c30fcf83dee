"""The grey values of a film, kept as the integers of its file until they are used.

    levels = levels_of(stored)                         # every value from the lowest to the highest
    grey = Grey.of_levels(stored, levels, curve(levels))
    grey.rows(slice(0, 100))                           # float32, 100 x width, in [0, 1]

A film of 12 megapixels takes 24 MB in 16 bits and 48 MB in float32. What needs a small picture of
it (the network, the film check, an overlay) converts a few rows at a time, while they are in the
processor's cache, and averages them: see `preprocessing.resize`. The display curve comes first, as
averages of a curve are not the curve of averages.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from boneseg.preprocessing import Floats, means

_BLOCK = 2**18  # values that stay in a processor's cache
_STRAIGHT = 1e-6  # of the grey scale: a few times the rounding of float32


@dataclass(frozen=True, eq=False)
class Grey:
    """Grey values in [0, 1], bone bright.

    stored: float32 H x W, the grey values themselves; or integers of 8 or 16 bits. table:
    float32, the grey value of each stored value, read as unsigned: 2^8 or 2^16. hidden: bool H x W,
    pixels that are black; None if there is none. span: the lowest and the highest stored value, if
    there is a table.
    """

    stored: NDArray[np.generic]
    table: Floats | None = None
    hidden: NDArray[np.bool_] | None = None
    span: tuple[int, int] = (0, 0)

    @classmethod
    def of_levels(
        cls,
        stored: NDArray[np.generic],
        levels: NDArray[np.integer],
        grey: Floats,
        hidden: NDArray[np.bool_] | None = None,
    ) -> Grey:
        """The grey value of each of `levels_of(stored)`."""
        table = np.zeros(1 << 8 * stored.dtype.itemsize, np.float32)
        table[_unsigned(levels)] = grey
        return cls(stored, table, hidden, (int(levels[0]), int(levels[-1])))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, px."""
        return self.stored.shape[0], self.stored.shape[1]

    def rows(self, part: slice) -> Floats:
        """Some rows, float32; not to be changed: they can be the film's own."""
        stored = self.stored[part]
        if self.table is None:
            grey = np.asarray(stored, np.float32)
            grey = grey if self.hidden is None else grey.copy()
        else:
            grey = self.table.take(_unsigned(stored), mode="wrap")  # the quickest; none is beyond
        if self.hidden is not None:
            grey[self.hidden[part]] = 0
        return grey

    def reduced(self, factor: int) -> Floats:
        """The means of factor x factor pixels, float32: see `preprocessing.means`.

        Where grey values rise in a straight line with the stored ones, these are averaged, in a
        third of the time.
        """
        line, largest = self._line(), factor**2 * self.span[1]
        if line is None or largest >= 2**32:
            return means(self.rows, self.shape, factor, np.float32)
        given = partial(means, lambda part: _unsigned(self.stored[part]), self.shape, factor)
        small = given(np.uint16) if largest < 2**16 else given(np.uint32)
        small *= line[1]
        small += line[0]
        return small

    def _line(self) -> tuple[np.float32, np.float32] | None:
        """The grey value of 0, and how it rises from each stored value to the next.

        None if it does not rise in a straight line, or pixels are hidden.
        """
        low, high = self.span
        if self.table is None or self.hidden is not None or not 0 <= low < high:
            return None
        grey, levels = self.table[low : high + 1], np.arange(low, high + 1, dtype=np.float32)
        rise = (grey[-1] - grey[0]) / np.float32(high - low)
        zero = grey[0] - rise * np.float32(low)
        off = np.abs(zero + rise * levels - grey).max()
        between = np.spacing(np.float32(high)) * abs(rise)  # means are rounded more than levels
        return (zero, rise) if max(off, between) <= _STRAIGHT else None

    def pixels(self) -> Floats:
        """All rows, float32 H x W."""
        return self.rows(slice(None))

    def inverted(self) -> Grey:
        """White for black; hidden pixels stay black."""
        if self.table is not None:
            return replace(self, table=1 - self.table)
        return replace(self, stored=np.subtract(1, self.stored, dtype=np.float32))


def has_levels(stored: NDArray[np.generic]) -> TypeGuard[NDArray[np.integer]]:
    """Whether values are few enough for a table: integers of 8 or 16 bits."""
    return stored.dtype.kind in "ui" and stored.dtype.itemsize <= 2


def levels_of(stored: NDArray[np.generic]) -> NDArray[np.integer]:
    """Every value from the lowest to the highest of integers of 8 or 16 bits, ascending."""
    low, high = extremes(stored)
    levels: NDArray[np.integer] = np.arange(low, high + 1).astype(stored.dtype)
    return levels


def extremes(stored: NDArray[np.generic]) -> tuple[int, int]:
    """The lowest and the highest value, in one pass over memory."""
    rows = max(1, _BLOCK * len(stored) // stored.size)
    blocks = [stored[start : start + rows] for start in range(0, len(stored), rows)]
    ends = [(int(block.min()), int(block.max())) for block in blocks]
    return min(low for low, _ in ends), max(high for _, high in ends)


def counts_of(values: NDArray[np.generic], levels: NDArray[np.integer]) -> NDArray[np.intp]:
    """How often each of `levels_of(...)` occurs among values."""
    above = values.ravel() - levels[0]  # modulo 2^8 or 2^16
    return np.bincount(_unsigned(above), minlength=len(levels))


def _unsigned(values: NDArray[np.generic]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    return values.view(np.uint8) if values.dtype.itemsize == 1 else values.view(np.uint16)
