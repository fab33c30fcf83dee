"""Read elements of an untrusted DICOM header (PS3.3, PS3.5).

    numbers_of(dataset, "PixelSpacing")     # [0.15, 0.15], or [] if not all numbers
    text_of(dataset, "Modality")            # "CR", or ""
    items_of(dataset, "VOILUTSequence")     # the items of a sequence, or []

An element may be absent, empty, padded, of the wrong VR, or damaged: these functions return what
can be read and never raise. `normalise` and `select_frame` bring a header to the standard's form
for a single-frame film.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import SupportsFloat

import numpy as np
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit, UncompressedTransferSyntaxes
from pydicom.valuerep import PersonName

from boneseg.errors import RadiographError
from boneseg.radiograph.film import SpacingKind, believed_spacing

_COUNTS = (  # US in the standard; some archives send them as text
    *("Rows", "Columns", "SamplesPerPixel", "PlanarConfiguration"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
)
_LAYOUT = (  # type 1 in the standard: required to know the pixel layout
    *("Rows", "Columns", "SamplesPerPixel"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation"),
)
GREY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")
_CALIBRATED = ("GEOMETRY", "FIDUCIAL")
_PLACEHOLDER = (1.0, 1.0)  # mm; no detector has such pixels
_SPACING = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
# Functional groups for the display of a frame (C.7.6.16.2, C.8.19.6), and their attributes.
_FRAME_GROUPS = {
    "PixelMeasuresSequence": (*_SPACING, "PixelSpacingCalibrationType"),
    "FramePixelDataPropertiesSequence": (*_SPACING, "PixelSpacingCalibrationType"),
    "FrameVOILUTSequence": ("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    "PixelValueTransformationSequence": (
        *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    ),
    "FrameDisplayShutterSequence": (
        *("ShutterShape", "ShutterLeftVerticalEdge", "ShutterRightVerticalEdge"),
        *("ShutterUpperHorizontalEdge", "ShutterLowerHorizontalEdge"),
        *("CenterOfCircularShutter", "RadiusOfCircularShutter", "VerticesOfThePolygonalShutter"),
    ),
}
_PADDING = " \t\r\n\0"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_TYPES = {"SS": "i2", "UL": "u4", "SL": "i4", "FL": "f4", "FD": "f8"}  # of binary VRs; else u2


def is_little_endian(dataset: Dataset) -> bool:
    """Whether the file is little endian."""
    return dataset.original_encoding[1] is not False


def text_of(dataset: Dataset, keyword: str) -> str:
    """The first value of an element as text without padding, "" if there is none."""
    return next(iter(texts_of(dataset, keyword)), "")


def texts_of(dataset: Dataset, keyword: str) -> list[str]:
    """The values of an element as text without padding."""
    value = value_of(dataset, keyword)
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        value = value.split("\\")
    values = value if isinstance(value, Iterable) else () if value is None else (value,)
    return [str(part).strip(_PADDING) for part in values]


def numbers_of(dataset: Dataset, keyword: str) -> list[float]:
    """The numbers of an element; empty if any value is not a finite number."""
    numbers = fields_of(dataset, keyword)
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(numbers) else []


def fields_of(dataset: Dataset, keyword: str) -> list[float | None]:
    """The values of an element as numbers, None for each that is not a finite number."""
    value = value_of(dataset, keyword)
    if isinstance(value, bytes):
        if (vr := dictionary_VR(keyword)) not in ("DS", "IS"):
            order = "<" if is_little_endian(dataset) else ">"
            dtype = np.dtype(order + _TYPES.get(vr, "u2"))
            value = np.frombuffer(value[: len(value) // dtype.itemsize * dtype.itemsize], dtype)
        else:
            value = value.decode("latin-1")
    if isinstance(value, str):
        value = value.split("\\") if value.strip(_PADDING) else ()
    values = value if isinstance(value, Iterable) else () if value is None else (value,)
    return [_number(one) for one in values]


def items_of(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; empty if it is absent, empty or not a sequence."""
    with suppress(Exception):
        value = dataset.get(keyword)
        return [item for item in value or () if isinstance(item, Dataset)]
    return []


def value_of(dataset: Dataset, keyword: str) -> object:
    """The value of an element, None if there is none.

    Multiple values are a list; values that pydicom cannot convert are the bytes of the file.
    """
    tag = tag_for_keyword(keyword)
    if tag is None or tag not in dataset:
        return None
    with suppress(Exception):
        value = dataset[tag].value
        if isinstance(value, PersonName):
            return str(value)
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            return value
        return list(value)
    with suppress(Exception):  # an unknown VR, or an invalid number
        raw = dataset.get_item(tag)
        if isinstance(raw, RawDataElement):
            return raw.value
    return None


def _number(value: object) -> float | None:
    with suppress(Exception):
        if isinstance(value, str):  # decimal commas occur in practice
            text = value.strip(_PADDING).replace(",", ".")
            if not _NUMBER.fullmatch(text):
                return None
            value = float(text)
        if isinstance(value, SupportsFloat):
            number = float(value)
            return number if np.isfinite(number) else None
    return None


def normalise(dataset: Dataset, path: Path) -> None:
    """Normalise the counts and Photometric Interpretation to the standard, in place.

    Numbers as text (a wrong VR) become numbers. Photometric Interpretation is corrected for case
    and blanks, and where it contradicts the number of samples per pixel.
    Raises RadiographError if the layout or polarity of the pixels is unknown.
    """
    for keyword in _COUNTS:
        numbers = numbers_of(dataset, keyword)
        if numbers:
            dataset.add_new(keyword, "US", int(numbers[0]))
        elif keyword in _LAYOUT:
            raise RadiographError(
                f"{path}: its pixel layout is unknown ({keyword} is missing); export it again"
            )
        elif keyword in dataset:
            del dataset[keyword]
    if dataset.PixelRepresentation not in (0, 1):
        dataset.PixelRepresentation = 0
    if dataset.SamplesPerPixel != 1 and dataset.get("PlanarConfiguration") not in (0, 1):
        dataset.PlanarConfiguration = 0
    if "NumberOfFrames" in dataset:
        count = max(1, int((numbers_of(dataset, "NumberOfFrames") or [1])[0]))
        dataset.add_new("NumberOfFrames", "IS", count)
    known = {re.sub("[ _]", "", word): word for word in GREY + COLOUR}
    word = known.get(re.sub(r"[\s_]", "", text_of(dataset, "PhotometricInterpretation").upper()))
    if dataset.SamplesPerPixel != 1:
        word = _colour_word(word, dataset)
    elif word in COLOUR:
        word = "MONOCHROME2"
    elif word is None:
        raise RadiographError(
            f"{path}: its Photometric Interpretation is missing or unknown, so its polarity is "
            "unknown; export it again"
        )
    dataset.add_new("PhotometricInterpretation", "CS", word)


def _colour_word(word: str | None, dataset: Dataset) -> str:
    """Photometric Interpretation for three samples: RGB, unless the file has a valid other one."""
    if word not in COLOUR:
        return "RGB"
    syntax = getattr(dataset, "file_meta", Dataset()).get("TransferSyntaxUID")
    if syntax in (JPEGBaseline8Bit, JPEGExtended12Bit):  # the others do not apply to JPEG
        return word if word in ("RGB", "YBR_FULL") else "YBR_FULL_422"
    data = dataset.get_item("PixelData")
    whole = 3 * int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames", 1))
    if word == "YBR_FULL_422" and data is not None and syntax in UncompressedTransferSyntaxes:
        length = len(data.value or b"") // max(1, int(dataset.BitsAllocated) // 8)
        return "YBR_FULL" if length >= whole else word  # not subsampled
    return word


def select_frame(dataset: Dataset, index: int) -> None:
    """Copy the shared and per-frame functional groups of a frame to the top level, in place.

    index: of the frame, from 0. A group replaces all attributes of its kind: if a frame has a
    window, a table for all frames no longer applies.
    """
    shared = items_of(dataset, "SharedFunctionalGroupsSequence")[:1]
    frames = _frame_items(dataset, "PerFrameFunctionalGroupsSequence", index)
    for groups in (*shared, *frames):
        for sequence, keywords in _FRAME_GROUPS.items():
            for item in items_of(groups, sequence)[:1]:
                given = [keyword for keyword in keywords if _has_value(item, keyword)]
                for keyword in keywords:
                    if given and keyword in dataset:
                        del dataset[keyword]
                for keyword in given:
                    dataset[keyword] = item[keyword]


def _frame_items(dataset: Dataset, keyword: str, index: int) -> list[Dataset]:
    return items_of(dataset, keyword)[index : index + 1]


def _has_value(item: Dataset, keyword: str) -> bool:
    with suppress(Exception):
        return keyword in item and not item[keyword].is_empty
    return False


def spacing_of(dataset: Dataset) -> tuple[tuple[float, float] | None, SpacingKind]:
    """The spacing of rows and columns in mm, and its kind (PS3.3 10.7.1)."""
    pixel = believed_spacing(numbers_of(dataset, "PixelSpacing"))
    plate = believed_spacing(numbers_of(dataset, "ImagerPixelSpacing")) or believed_spacing(
        numbers_of(dataset, "NominalScannedPixelSpacing")
    )
    if pixel and text_of(dataset, "PixelSpacingCalibrationType").upper() in _CALIBRATED:
        return pixel, "calibrated"
    if pixel in (None, _PLACEHOLDER) and plate in (None, _PLACEHOLDER) and (pixel or plate):
        return None, "placeholder"
    if pixel is None:
        return (plate, "detector") if plate else (None, "unknown")
    if plate is None:
        return pixel, "uncalibrated"
    if pixel == _PLACEHOLDER and max(plate) < 1:  # no film is reduced on its way to the detector
        return plate, "detector"
    return pixel, "detector" if np.allclose(pixel, plate, rtol=1e-4) else "calibrated"


def ratio_of(dataset: Dataset) -> tuple[float, float] | None:
    """Pixel Aspect Ratio (C.7.6.3.1.7): the vertical and horizontal size of a pixel."""
    sides = numbers_of(dataset, "PixelAspectRatio")
    return (sides[0], sides[1]) if len(sides) == 2 and min(sides) > 0 else None
