"""Convert grey values of any bit depth, and colours, to grey in [0, 1].

up to 8 bits        divided by the maximum of the bit depth
9 to 16 bits        divided by 2^n - 1, with n the smallest of 8, 10, 12, 14, 16 that fits the film
other               (32-bit, negative, floats outside [0, 1]) the 0.5th and 99.5th percentiles
                    map to 0 and 1
colour              ITU-R BT.601 luma; photographs are rejected (see `colourfulness`)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boneseg.errors import RadiographError
from boneseg.radiograph.grey import Grey, counts_of, has_levels, levels_of

Values = NDArray[np.number]  # grey values of any numeric type
Counts = Callable[[], NDArray[np.intp]]  # how often each of some values occurs

DEPTHS = (8, 10, 12, 14, 16)  # bit depths of detectors
_PERCENTILES = (0.5, 99.5)
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_ODD_COLOUR = 0.1  # of the full scale
_MAX_COLOURFULNESS = 0.1  # measured: films under 0.001, photographs from 0.18
_SAMPLE = 1_000_000


def graded(values: Values) -> Grey:
    """The grey values of a picture, by the rules in the module docstring."""
    if not has_levels(values):
        return Grey(to_unit(values))
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    levels = levels_of(values)
    unit = to_unit(levels, partial(counts_of, sample(values), levels))
    return Grey.of_levels(values, levels, unit)


def to_unit(values: Values, counts: Counts | None = None) -> NDArray[np.float32]:
    """Scale grey values of any bit depth to [0, 1] by the rules in the module docstring.

    counts: how often each value occurs, if they are the levels of a film rather than its pixels.
    """
    top = _full_scale(values)
    if top is None:
        return stretch(values, counts=counts() if counts else None)
    unit: NDArray[np.float32] = np.divide(values, np.float32(top), dtype=np.float32)
    return unit


def stretch(
    values: Values,
    ignore: NDArray[np.bool_] | None = None,
    counts: NDArray[np.intp] | None = None,
) -> NDArray[np.float32]:
    """Scale grey values to [0, 1] by robust percentiles; non-finite values become 0.

    `ignore` marks pixels excluded from the percentiles. With `counts`, the values are the levels of
    a film, each of which occurs so often.
    """
    usable = sample(values, ignore)
    if counts is not None:
        occurs = np.isfinite(values) & (counts > 0)
        usable, counts = values[occurs], counts[occurs]
    low, high = percentiles(usable, counts, _PERCENTILES) if usable.size else (0.0, 0.0)
    if usable.size and high <= low:  # almost all background
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


def percentiles(
    values: Values, counts: NDArray[np.intp] | None, wanted: tuple[float, float]
) -> tuple[float, float]:
    """Percentiles of values, each of which occurs once, or as often as `counts` says.

    As `numpy.percentile`: interpolated between the two nearest. Some value occurs.
    """
    if counts is None:
        low, high = np.percentile(values, wanted)
        return float(low), float(high)
    order = np.argsort(values, kind="stable")
    ascending, ends = values[order].astype(np.float64), np.cumsum(counts[order])
    places = np.array(wanted) / 100 * (ends[-1] - 1)
    below, above = (
        ascending[np.searchsorted(ends, nearest(places), side="right")]
        for nearest in (np.floor, np.ceil)
    )
    low, high = below + (above - below) * (places - np.floor(places))
    return float(low), float(high)


def blocks(values: Values) -> Iterator[slice]:
    """Slices of rows with about a million values each, to bound the memory of intermediates."""
    step = max(1, _SAMPLE * len(values) // max(1, values.size))
    return (slice(start, start + step) for start in range(0, len(values), step))


def sample(values: Values, ignore: NDArray[np.bool_] | None = None) -> Values:
    """Draw about a million evenly spaced finite values, enough for a percentile."""
    step = max(1, values.size // _SAMPLE) | 1  # odd, so that samples do not align with columns
    taken: Values = values.ravel()[::step]
    if ignore is None and taken.dtype.kind in "ui":
        return taken
    keep = np.isfinite(taken)
    if ignore is not None:
        keep &= ~ignore.ravel()[::step]
    kept: Values = taken[keep]
    return kept


def grey_of(rgb: NDArray[np.integer], path: Path) -> NDArray[np.float32]:
    """Convert an RGB film (height x width x 3, unsigned integers) to luma in [0, 1].

    Raises RadiographError for a colour photograph.
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


def colourfulness(rgb: NDArray[np.integer], top: float) -> float:
    """The fraction of pixels, 0 to 1, whose colour is not explained by their brightness.

    A film may be toned (blue base, sepia): its colour is then a function of brightness, estimated
    as the median in each of 16 brightness bins and subtracted. Pixels that deviate by more than a
    tenth of the full scale count. Coloured side markers are too small to matter.
    """
    step = max(1, round((rgb[..., 0].size / 250_000) ** 0.5))
    red, green, blue = (rgb[::step, ::step].reshape(-1, 3) / np.float32(top)).T
    tint = np.stack((red - green, blue - green))
    brightness = np.minimum((red + green + blue) * 16 / 3, 15).astype(int)
    for level in np.unique(brightness):
        here = brightness == level
        tint[:, here] -= np.median(tint[:, here], axis=1, keepdims=True)
    return float((np.abs(tint).max(axis=0) > _ODD_COLOUR).mean())


def _full_scale(values: Values) -> float | None:
    """The white level of these values; None if it can only be estimated from percentiles."""
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
