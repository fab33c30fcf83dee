"""Transform the stored values of a DICOM film to display values (PS3.4 N.2).

The steps, in this order:

    Modality LUT        table, or slope and intercept (PS3.3 C.11.1); skipped for XA and RF, where
                        it maps back to beam intensity (A.14.3, A.16.3; PS3.4 N.2.5)
    VOI LUT             the first usable table, else the first usable window (C.11.2.1), else the
                        default of the SOP class, else robust percentiles
    polarity            MONOCHROME1, or Presentation LUT Shape INVERSE (C.11.6): one inversion
    hidden areas        Pixel Padding (C.7.5.1.1.2) and the area outside the Display Shutter
                        (C.7.6.11) are excluded from percentiles and set to black

An 8-bit film or a multi-frame grayscale secondary capture without table or window is ready for
display: its full value range is shown (C.8.6.3). A table or window that leaves nothing visible is
ignored. Pixel Intensity Relationship and its Sign are not used: they "do not define a
transformation intended to be applied" (C.8.11.3.1.2). Overlays are not drawn.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import uid as classes
from pydicom.dataset import Dataset

from boneseg.errors import RadiographError
from boneseg.radiograph.dicom.header import fields_of, numbers_of, text_of, texts_of
from boneseg.radiograph.dicom.lut import first_table, palette_colours
from boneseg.radiograph.dicom.shutter import open_part
from boneseg.radiograph.grey import Grey, counts_of, has_levels, levels_of
from boneseg.radiograph.greyscale import Values, grey_of, percentiles, sample, stretch

_BIPLANE = "1.2.840.10008.5.1.4.1.1.12.3"  # X-Ray Angiographic Bi-Plane Image Storage, retired
_TO_INTENSITY = frozenset(  # their Modality LUT is not part of the display pipeline
    (
        *(classes.XRayAngiographicImageStorage, classes.EnhancedXAImageStorage, _BIPLANE),
        *(classes.XRayRadiofluoroscopicImageStorage, classes.EnhancedXRFImageStorage),
    )
)
_FINISHED = frozenset(  # without a VOI LUT, their values are P-values (A.8.3.4, A.8.4.4, C.8.6.3)
    (
        classes.MultiFrameSingleBitSecondaryCaptureImageStorage,
        classes.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        classes.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    )
)
_MOST_HIDDEN = 0.99  # of the film; padding or a shutter that hides more is taken as wrong
_VISIBLE_SPREAD = 0.05  # of the grey scale, between the 1st and 99th percentiles
_VISIBLE_SHARE = 0.02  # of the pixels, neither black nor white


def display(
    stored: NDArray[np.integer], dataset: Dataset, path: Path, *, aspect: float, invert: bool
) -> Grey:
    """Transform stored values to grey values in [0, 1], bone bright per the header.

    stored: integers, height x width (also palette indices), or height x width x 3 (RGB). aspect:
    the height of a pixel divided by its width. Raises RadiographError for a colour photograph or
    an unreadable palette.
    """
    hidden = _hidden(stored, dataset, aspect)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        colours = palette_colours(stored, dataset)
        if colours is None:
            raise RadiographError(f"{path}: its palette is damaged; export it again as greyscale")
        stored = colours
    if stored.ndim == 3:
        grey, negative = Grey(grey_of(stored, path), hidden=hidden), False
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # extreme slopes and windows
            grey, negative = _graded(stored, hidden, dataset), _is_negative(dataset)
    return grey.inverted() if negative != invert else grey


def _graded(
    stored: NDArray[np.integer], hidden: NDArray[np.bool_] | None, dataset: Dataset
) -> Grey:
    if not has_levels(stored):
        return Grey(_shown(stored, None, hidden, dataset), hidden=hidden)
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    levels = levels_of(stored)
    counts = counts_of(sample(stored, hidden), levels)
    return Grey.of_levels(stored, levels, _shown(levels, counts, None, dataset), hidden)


def _shown(
    stored: NDArray[np.integer],
    counts: NDArray[np.intp] | None,
    hidden: NDArray[np.bool_] | None,
    dataset: Dataset,
) -> NDArray[np.float32]:
    """The grey values of pixels, or with `counts` of levels, each of which occurs so often."""
    values, limits = _modality(stored, dataset)
    shown = _voi(values, limits, dataset, finished=values is stored)
    if shown is not None:
        taken = sample(shown, hidden) if counts is None else shown
        if _is_visible(taken, counts):
            return shown
    return stretch(values, hidden, counts)


def _is_negative(dataset: Dataset) -> bool:
    # DX requires INVERSE with MONOCHROME1 (C.8.11.3.1.2): both denote the same inversion.
    return dataset.PhotometricInterpretation == "MONOCHROME1" or (
        text_of(dataset, "PresentationLUTShape").upper() == "INVERSE"
    )


def _modality(stored: NDArray[np.integer], dataset: Dataset) -> tuple[Values, tuple[float, float]]:
    """The output of the Modality LUT and its limits; `stored` itself for an identity."""
    bits = int(dataset.BitsStored)
    signed = stored.dtype.kind == "i"
    limits = (-float(1 << bits - 1), float(1 << bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)
    if _leads_to_intensity(dataset):
        return stored, limits
    if table := first_table(dataset, "ModalityLUTSequence"):
        return table.map(stored), (0.0, float(table.top))
    slope = (numbers_of(dataset, "RescaleSlope") or [1.0])[0]
    intercept = (numbers_of(dataset, "RescaleIntercept") or [0.0])[0]
    if (slope, intercept) == (1, 0) or slope == 0:
        return stored, limits
    values: NDArray[np.floating] = stored.astype(_exact(stored))
    values *= slope
    values += intercept
    low, high = sorted(limit * slope + intercept for limit in limits)
    return values, (low, high)


def _leads_to_intensity(dataset: Dataset) -> bool:
    kind = text_of(dataset, "SOPClassUID")
    if kind.startswith("1.2.840.10008."):
        return kind in _TO_INTENSITY
    return text_of(dataset, "Modality").upper() in ("XA", "RF")


def _exact(values: Values) -> type[np.float32] | type[np.float64]:
    """The smaller float type that represents the values exactly."""
    return np.float32 if values.dtype.itemsize <= 2 else np.float64


def _voi(
    values: Values, limits: tuple[float, float], dataset: Dataset, *, finished: bool
) -> NDArray[np.float32] | None:
    """Apply the VOI LUT or window of the file, to [0, 1]; None if it has none."""
    if table := first_table(dataset, "VOILUTSequence"):
        entries: NDArray[np.float32] = table.map(values).astype(np.float32)
        entries /= np.float32(table.top)
        return entries
    function = text_of(dataset, "VOILUTFunction").upper() or "LINEAR"
    if found := _first_window(dataset, function):
        return window(values, *found, function)
    eight = finished and dataset.BitsStored <= 8 and values.dtype.kind == "u"
    if eight or text_of(dataset, "SOPClassUID") in _FINISHED:
        low, high = limits
        return window(values, (low + high) / 2, high - low, "LINEAR_EXACT")
    return None


def _first_window(dataset: Dataset, function: str) -> tuple[float, float] | None:
    """The centre and width of the first valid window."""
    least = 1e-9 if function in ("LINEAR_EXACT", "SIGMOID") else 1  # C.11.2.1.2.1, C.11.2.1.3
    pairs = zip(fields_of(dataset, "WindowCenter"), fields_of(dataset, "WindowWidth"), strict=False)
    for center, width in pairs:
        if center is not None and width is not None and width >= least:
            return center, width
    return None


def window(
    values: Values, center: float, width: float, function: str = "LINEAR"
) -> NDArray[np.float32]:
    """Apply a window, to [0, 1] (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    `function` is LINEAR (width >= 1), LINEAR_EXACT or SIGMOID (width > 0).
    """
    offsets: NDArray[np.floating] = values.astype(_exact(values))
    if function == "SIGMOID":
        offsets -= center
        offsets *= -4 / width
        np.exp(np.clip(offsets, -60, 60, out=offsets), out=offsets)
        offsets += 1
        np.reciprocal(offsets, out=offsets)
        return offsets.astype(np.float32, copy=False)
    if function != "LINEAR_EXACT":
        center, width = center - 0.5, width - 1
    if width == 0:
        return (offsets > center).astype(np.float32)
    offsets -= center
    offsets /= width
    offsets += 0.5
    return np.clip(offsets, 0, 1, out=offsets).astype(np.float32, copy=False)


def _is_visible(pixels: Values, counts: NDArray[np.intp] | None) -> bool:
    """Whether a window leaves anything visible.

    A wrong window (from a template, or for other units) makes nearly every pixel black or white, or
    compresses all of them into a narrow part of the grey scale.
    """
    if counts is not None:
        pixels, counts = pixels[counts > 0], counts[counts > 0]
    if pixels.size == 0:
        return False
    low, high = percentiles(pixels, counts, (1, 99))
    share = np.average((pixels > 0.002) & (pixels < 0.998), weights=counts)
    return bool(high - low >= _VISIBLE_SPREAD and share >= _VISIBLE_SHARE)


def _hidden(
    stored: NDArray[np.integer], dataset: Dataset, aspect: float
) -> NDArray[np.bool_] | None:
    """Pixels that are not part of the film: padding, and those covered by the shutter."""
    shapes = [word.upper() for word in texts_of(dataset, "ShutterShape")]
    size = (stored.shape[0], stored.shape[1])
    opened = open_part(shapes, partial(numbers_of, dataset), size, aspect)
    parts = (_padding(stored, dataset), None if opened is None else ~opened)
    believed = [part for part in parts if part is not None and part.mean() <= _MOST_HIDDEN]
    return np.logical_or.reduce(believed) if believed else None


def _padding(stored: NDArray[np.integer], dataset: Dataset) -> NDArray[np.bool_] | None:
    """Pixels from Pixel Padding Value to Pixel Padding Range Limit (if any), inclusive."""
    value = numbers_of(dataset, "PixelPaddingValue")
    if stored.ndim == 3 or not value:
        return None
    limit = numbers_of(dataset, "PixelPaddingRangeLimit") or value
    low, high = sorted(_with_sign_of(stored, dataset, edge) for edge in (value[0], limit[0]))
    return (stored >= low) & (stored <= high)


def _with_sign_of(stored: NDArray[np.integer], dataset: Dataset, value: float) -> float:
    """The value in the range of the pixels: its VR may have the wrong sign (US or SS)."""
    bits = int(dataset.BitsStored)
    signed = stored.dtype.kind == "i"
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    turns = (0, 1 << 16, 1 << int(dataset.BitsAllocated))
    readings = (value + sign * turn for turn in turns for sign in (1, -1))
    return next((reading for reading in readings if low <= reading <= high), value)
