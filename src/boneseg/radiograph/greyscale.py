"""Grey values of any depth, and colours, as grey in [0, 1].

8 bit and less      divided by the largest value of the depth
9 to 16 bit         divided by 2^n - 1, n the smallest of 8, 10, 12, 14, 16 that holds the film
the rest            (32-bit, negative, floats outside [0, 1]) the 0.5th and the 99.5th
                    percentile become 0 and 1
colour              ITU-R BT.601 luma, unless it is a photograph (see `colourfulness`)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boneseg.errors import RadiographError

DEPTHS = (8, 10, 12, 14, 16)  # bits that devices use
_PERCENTILES = (0.5, 99.5)
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_ODD_COLOUR = 0.1  # of the full scale
_MAX_COLOURFULNESS = 0.1  # measured: films under 0.001, photographs from 0.18
_SAMPLE = 1_000_000


def to_unit(values: NDArray[Any]) -> NDArray[np.float32]:
    """Grey values of any depth as [0, 1], by the rules at the head of this module."""
    top = _full_scale(values)
    if top is None:
        return stretch(values)
    unit: NDArray[np.float32] = np.divide(values, np.float32(top), dtype=np.float32)
    return unit


def stretch(values: NDArray[Any], ignore: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Grey values as [0, 1] by robust percentiles; what is not finite becomes 0.

    `ignore` marks pixels that do not count in the percentiles.
    """
    usable = sample(values, ignore)
    low, high = np.percentile(usable, _PERCENTILES) if usable.size else (0.0, 0.0)
    if usable.size and high <= low:  # hardly anything but ground
        low, high = float(usable.min()), float(usable.max())
    unit = np.zeros(values.shape, np.float32)
    if high <= low:
        return unit
    for rows in blocks(values):
        part = values[rows].astype(np.float64)
        part -= low
        part /= high - low
        unit[rows] = np.nan_to_num(np.clip(part, 0, 1, out=part), copy=False)
    return unit


def blocks(values: NDArray[Any]) -> Iterator[slice]:
    """Rows of about a million values, so that what is computed between takes little memory."""
    step = max(1, _SAMPLE * len(values) // max(1, values.size))
    return (slice(start, start + step) for start in range(0, len(values), step))


def sample(values: NDArray[Any], ignore: NDArray[np.bool_] | None = None) -> NDArray[Any]:
    """About a million of the finite values, spread evenly: enough for a percentile."""
    step = max(1, values.size // _SAMPLE) | 1  # odd, so as not to run along columns
    taken: NDArray[Any] = values.ravel()[::step]
    keep = np.isfinite(taken)
    if ignore is not None:
        keep &= ~ignore.ravel()[::step]
    kept: NDArray[Any] = taken[keep]
    return kept


def grey_of(rgb: NDArray[Any], path: Path) -> NDArray[np.float32]:
    """An RGB film (height x width x 3, unsigned integers) as luma in [0, 1].

    Raises RadiographError where it is a colour photograph.
    """
    top = _full_scale(rgb) or float(rgb.max())
    if colourfulness(rgb, top) > _MAX_COLOURFULNESS:
        raise RadiographError(
            f"{path}: is a colour photograph, not a radiograph; give the original greyscale film"
        )
    luma = np.zeros(rgb.shape[:2], np.float32)
    for rows in blocks(rgb):
        for band, weight in enumerate(_LUMA):
            luma[rows] += rgb[rows, :, band] * np.float32(weight / top)
    return np.minimum(luma, 1, out=luma)


def colourfulness(rgb: NDArray[Any], top: float) -> float:
    """The share of pixels, 0 to 1, whose colour is not explained by how bright they are.

    A film may be toned (blue base, sepia): its colour is then a curve over brightness, which is
    taken off as the median of each of 16 steps of brightness. What differs from that curve by more
    than a tenth of the full scale counts. A coloured letter is far too small to matter.
    """
    step = max(1, round((rgb[..., 0].size / 250_000) ** 0.5))
    red, green, blue = (rgb[::step, ::step].reshape(-1, 3) / np.float32(top)).T
    tint = np.stack((red - green, blue - green))
    brightness = np.minimum((red + green + blue) * 16 / 3, 15).astype(int)
    for level in np.unique(brightness):
        here = brightness == level
        tint[:, here] -= np.median(tint[:, here], axis=1, keepdims=True)
    return float((np.abs(tint).max(axis=0) > _ODD_COLOUR).mean())


def _full_scale(values: NDArray[Any]) -> float | None:
    """What stands for white in values of this type; None where only percentiles can tell."""
    if values.dtype == np.bool_:
        return 1
    if values.dtype == np.uint8:
        return 255
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        return 1 if low >= 0 and high <= 1 else None  # None with NaN too
    if low < 0 or high >= 2 ** DEPTHS[-1]:
        return None
    return float(next(2**depth - 1 for depth in DEPTHS if high < 2**depth))
