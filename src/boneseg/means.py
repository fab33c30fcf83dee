"""The means of squares of a large array, a few rows of which are converted at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Sums = TypeVar("Sums", np.float32, np.uint16, np.uint32)

_BLOCK = 2**18  # pixels that fit into a processor's cache


def means(
    rows: Callable[[slice], NDArray[np.generic]],
    film: tuple[int, int],
    factor: int,
    kind: type[Sums],
) -> NDArray[np.float32]:
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
