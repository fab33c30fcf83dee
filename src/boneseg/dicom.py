"""A DICOM radiograph as it is meant to be displayed (PS3.3; `read_radiograph` comes here).

The grey values go through the steps of PS3.4 N.2, in this order:

    Modality LUT        its table, or slope and intercept (PS3.3 C.11.1)
    VOI LUT             its table, or the first window (C.11.2.1); robust percentiles where there
                        is none, or where it leaves nothing to be seen
    polarity            MONOCHROME1, or Presentation LUT Shape INVERSE (C.11.6): one inversion
    hidden parts        Pixel Padding (C.7.5.1.1.2) and what lies outside the Display Shutter
                        (C.7.6.11) are left out of percentiles and shown black

Overlays are ignored: they are drawn on the film, and no part of it. An 8-bit film without any table
or window is a finished picture and is read as a PNG would be. What a multi-frame film says of each
frame alone (C.7.6.16) goes for that frame. Pixels that are not square are told by `aspect`. No
message holds anything from the file but its kind, and names that give a patient away are not
repeated (see `patients.py`).
"""

from __future__ import annotations

import logging
import re
import warnings
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from boneseg.errors import RadiographError
from boneseg.patients import public_path
from boneseg.pixel_data import decode
from boneseg.radiograph import (
    DEPTHS,
    Radiograph,
    SpacingKind,
    check_size,
    grey_of,
    pick_frame,
    sample,
    stretch,
)
from boneseg.shutter import open_part

# Projections through the body, and OT, under which secondary captures are filed (C.7.3.1.1.1).
_PROJECTIONS = ["CR", "DX", "DR", "RF", "XA", "MG", "IO", "PX", "RG", "CF", "DF", "VF", "OT"]
_OTHER_KINDS = {
    "CT": "a CT slice",
    "MR": "an MR slice",
    "PT": "a PET slice",
    "NM": "a nuclear medicine image",
    "US": "an ultrasound image",
    "IVUS": "an ultrasound image",
    "ES": "an endoscopy picture",
    "XC": "a photograph",
    "SM": "a microscopy slide",
    "SR": "a structured report",
    "KO": "a selection of key objects",
    "PR": "a presentation state",
    "SEG": "a segmentation",
    "RTSTRUCT": "a set of contours",
    "RTPLAN": "a treatment plan",
    "RTDOSE": "a dose map",
    "ECG": "a waveform",
    "DOC": "a document",
}
_COUNTS = (  # US in the standard; some archives hand them on as text
    *("Rows", "Columns", "SamplesPerPixel", "PlanarConfiguration"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
)
_LAYOUT = (  # without these nobody can tell how the pixels lie (type 1 in the standard)
    *("Rows", "Columns", "SamplesPerPixel"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation"),
)
_GREY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")
_FRAME_GROUPS = (  # functional groups that say how a frame is shown
    *("PixelMeasuresSequence", "FramePixelDataPropertiesSequence", "FrameVOILUTSequence"),
    *("PixelValueTransformationSequence", "FrameDisplayShutterSequence"),
)
_MOST_HIDDEN = 0.99  # of a film; padding or a shutter that hides more is meant for another
_ASPECTS = (1 / 8, 8)  # of pixels; what is beyond is no scanner's
_VISIBLE_SPREAD = 0.05  # of the grey scale, between the 1st and the 99th percentile
_VISIBLE_SHARE = 0.02  # of the pixels, neither black nor white


def read_dicom(
    path: Path, *, invert: bool = False, frame: int | None = None, keep_names: bool = False
) -> Radiograph:
    """Read one frame of a DICOM projection radiograph; see `read_radiograph`.

    Raises RadiographError where the file is damaged, of another kind, or holds no image.
    """
    hush()
    source, path = path, path if keep_names else public_path(path)
    dataset = _parse(source, path)
    _refuse_other_kinds(dataset, path)
    try:
        _mend(dataset, path)
        count = int(dataset.get("NumberOfFrames") or 1)
        height, width = int(dataset.Rows), int(dataset.Columns)
        index = pick_frame(path, count, frame)
        check_size(path, height, width)
        _unfold(dataset, index)
        stored = decode(dataset, index, source, path)
        spacing, kind = _spacing(dataset)
        aspect = _aspect(spacing or _pair(dataset, "PixelAspectRatio"))
        hidden = _hidden(stored, dataset, aspect)
        pixels = _display(stored, hidden, dataset, path, invert=invert)
    except (RadiographError, MemoryError, OSError):
        raise
    except Exception:  # values of a kind that the standard forbids; the message could hold them
        raise RadiographError(
            f"{path}: is a damaged DICOM file, its image is not described; export it again"
        ) from None
    return Radiograph(pixels, spacing, kind, source, aspect, index + 1)


def hush() -> None:
    """pydicom's warnings and log lines quote values, and so patients, from the file."""
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)|boneseg\.dicom$")
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)


def _parse(source: Path, path: Path) -> FileDataset:
    try:
        dataset = pydicom.dcmread(source, force=True)
        if "TransferSyntaxUID" not in dataset.file_meta:
            implicit, little = dataset.original_encoding
            explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
        marks = ("SOPClassUID", "Modality", "Rows", "DirectoryRecordSequence")
        if any(mark in dataset for mark in marks):
            return dataset
    except (MemoryError, OSError):
        raise
    except Exception:  # pydicom's message could quote the file
        pass
    raise RadiographError(f"{path}: is damaged, or no DICOM file; export it again")


def _refuse_other_kinds(dataset: FileDataset, path: Path) -> None:
    if "DirectoryRecordSequence" in dataset:
        raise RadiographError(
            f"{path}: is the index of a disk (DICOMDIR), not a radiograph; give the folder"
        )
    modality = str(dataset.get("Modality") or "").strip().upper()
    if modality and modality not in _PROJECTIONS:
        plain = f"DICOM of modality {modality}" if re.fullmatch("[A-Z]{2,8}", modality) else ""
        kind = _OTHER_KINDS.get(modality, plain or "DICOM of another kind")
        raise RadiographError(
            f"{path}: is {kind}, not a radiograph; give a projection (CR, DX, RF, XA, MG, IO, PX)"
        )
    if "PixelData" not in dataset:
        raise RadiographError(f"{path}: is a DICOM file without an image; give the film itself")


def _mend(dataset: Dataset, path: Path) -> None:
    """Bring what is meant, and written in another way, into the words of the standard.

    Numbers as text (a wrong VR) become numbers. A photometric word in small letters or with blanks
    becomes the one of the standard, and one that contradicts the number of samples yields to it.
    """
    for keyword in _COUNTS:
        if numbers := numbers_of(dataset, keyword):
            dataset.add_new(keyword, "US", int(numbers[0]))
    missing = [keyword for keyword in _LAYOUT if not numbers_of(dataset, keyword)]
    if missing:
        raise RadiographError(
            f"{path}: does not say how its pixels lie ({missing[0]} is missing); export it again"
        )
    known = {re.sub("[ _]", "", word): word for word in _GREY + _COLOUR}
    said = str(dataset.get("PhotometricInterpretation") or "").upper()
    word = known.get(re.sub(r"[\s_]", "", said))
    if dataset.get("SamplesPerPixel", 1) != 1:
        word = word if word in _COLOUR else "RGB"
    elif word in _COLOUR:
        word = "MONOCHROME2"
    elif word is None:
        raise RadiographError(
            f"{path}: does not say whether its low values are dark or bright (Photometric "
            "Interpretation); export it again"
        )
    dataset.add_new("PhotometricInterpretation", "CS", word)


def _unfold(dataset: Dataset, index: int) -> None:
    """Lift what a film says of all frames, and of this one, to where one of one frame has it."""
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    for groups in [*shared[:1], *frames[index : index + 1]]:
        for keyword in _FRAME_GROUPS:
            for item in (groups.get(keyword) or [])[:1]:
                dataset.update(item)


def _display(
    stored: NDArray[Any],
    hidden: NDArray[np.bool_] | None,
    dataset: Dataset,
    path: Path,
    *,
    invert: bool,
) -> NDArray[np.float32]:
    if stored.ndim == 3:
        pixels, negative = grey_of(stored, path), False
    else:
        pixels, negative = _shown(stored, hidden, dataset), _is_negative(dataset)
    if negative != invert:
        pixels = 1 - pixels
    if hidden is not None:
        pixels[hidden] = 0
    return pixels


def _shown(
    stored: NDArray[Any], hidden: NDArray[np.bool_] | None, dataset: Dataset
) -> NDArray[np.float32]:
    values = _modality(stored, dataset)
    shown = _voi(values, dataset, finished=values is stored)
    visible = shown is not None and _is_visible(sample(shown, hidden))
    return shown if shown is not None and visible else stretch(values, ignore=hidden)


def _is_negative(dataset: Dataset) -> bool:
    # DX demands INVERSE where MONOCHROME1 stands (C.8.11.3.1.2): two words for one inversion.
    return dataset.PhotometricInterpretation == "MONOCHROME1" or (
        str(dataset.get("PresentationLUTShape")).strip() == "INVERSE"
    )


def _modality(stored: NDArray[Any], dataset: Dataset) -> NDArray[Any]:
    """Stored values to the units of the device: `stored` itself where nothing is to be done."""
    if sequence := dataset.get("ModalityLUTSequence"):
        return _look_up(stored, sequence[0], _is_little(dataset))[0]
    slope = (numbers_of(dataset, "RescaleSlope") or [1.0])[0]
    intercept = (numbers_of(dataset, "RescaleIntercept") or [0.0])[0]
    if (slope, intercept) == (1, 0) or slope == 0:
        return stored
    values: NDArray[Any] = stored.astype(_exact(stored))
    return values * slope + intercept


def _exact(values: NDArray[Any]) -> type[np.float32] | type[np.float64]:
    """The type that holds such values exactly, without spending memory on 16-bit films."""
    return np.float32 if values.dtype.itemsize <= 2 else np.float64


def _voi(values: NDArray[Any], dataset: Dataset, *, finished: bool) -> NDArray[np.float32] | None:
    """Values to [0, 1] by the table or the first window of the file; None where it has neither."""
    if (sequence := dataset.get("VOILUTSequence")) and sequence[0].get("LUTData") is not None:
        entries, top = _look_up(np.rint(values), sequence[0], _is_little(dataset))
        return entries.astype(np.float32) / np.float32(top)
    centers, widths = numbers_of(dataset, "WindowCenter"), numbers_of(dataset, "WindowWidth")
    function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
    if centers and widths and widths[0] >= (1 if function == "LINEAR" else 1e-9):
        return window(values, centers[0], widths[0], function)
    if finished and dataset.BitsStored <= 8 and values.dtype.kind == "u":
        return values.astype(np.float32) / np.float32(2**dataset.BitsStored - 1)
    return None


def window(
    values: NDArray[Any], center: float, width: float, function: str = "LINEAR"
) -> NDArray[np.float32]:
    """A window laid on values, as [0, 1] (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    `function` is LINEAR (width >= 1), LINEAR_EXACT or SIGMOID (width > 0).
    """
    offsets: NDArray[Any] = values.astype(_exact(values))
    if function == "SIGMOID":
        exponents = np.clip((offsets - center) * (-4 / width), -60, 60)
        return (1 / (1 + np.exp(exponents))).astype(np.float32)
    if function != "LINEAR_EXACT":
        center, width = center - 0.5, width - 1
    if width == 0:
        return (offsets > center).astype(np.float32)
    return np.clip((offsets - center) / width + 0.5, 0, 1).astype(np.float32)


def _is_visible(pixels: NDArray[Any]) -> bool:
    """Whether a window leaves something to be seen.

    A window that does not fit its film (left over from a template, or meant for other units) makes
    nearly every pixel black or white, or squeezes all of them into a sliver of the grey scale.
    """
    if pixels.size == 0:
        return False
    low, high = np.percentile(pixels, (1, 99))
    share = ((pixels > 0.002) & (pixels < 0.998)).mean()
    return bool(high - low >= _VISIBLE_SPREAD and share >= _VISIBLE_SHARE)


def _look_up(values: NDArray[Any], item: Dataset, little: bool) -> tuple[NDArray[np.uint16], int]:
    """Map values by a LUT (PS3.3 C.11.1.1, C.11.2.1.1); also the full scale of its entries.

    pydicom's own fails on entries of 9 to 15 bits and on a negative first value. The full scale is
    that of the smallest depth that holds the entries, for descriptors often claim 16 bits.
    """
    count, first = (int(number) for number in item.LUTDescriptor[:2])
    count = (count & 0xFFFF) or 1 << 16  # 0 stands for 65,536
    data = item.LUTData
    if isinstance(data, bytes):
        wide = ("<" if little else ">") + "u2"
        table = np.frombuffer(data, wide if len(data) >= 2 * count else "u1").astype(np.uint16)
    else:
        table = np.atleast_1d(np.asarray(data, np.int64)).astype(np.uint16)
    table = table[:count]
    if first >= 1 << 15 and values.min() < 0:  # a signed number written as an unsigned one
        first -= 1 << 16
    places = values.astype(np.int32 if values.dtype.itemsize <= 2 else np.int64)
    entries = table[np.clip(places - first, 0, len(table) - 1)]
    return entries, next(2**depth - 1 for depth in DEPTHS if table.max() < 2**depth)


def _is_little(dataset: Dataset) -> bool:
    return dataset.original_encoding[1] is not False


def _hidden(stored: NDArray[Any], dataset: Dataset, aspect: float) -> NDArray[np.bool_] | None:
    """Where there is no film to be seen: padding, and what the shutter covers."""
    words = dataset.get("ShutterShape") or ()
    shapes = [words] if isinstance(words, str) else [str(word) for word in words]
    size = (stored.shape[0], stored.shape[1])
    opened = open_part(shapes, partial(numbers_of, dataset), size, aspect)
    parts = (_padding(stored, dataset), None if opened is None else ~opened)
    believed = [part for part in parts if part is not None and part.mean() <= _MOST_HIDDEN]
    return np.logical_or.reduce(believed) if believed else None


def _padding(stored: NDArray[Any], dataset: Dataset) -> NDArray[np.bool_] | None:
    if stored.ndim == 3:
        return None
    value = numbers_of(dataset, "PixelPaddingValue")
    if not value:
        return None
    limit = numbers_of(dataset, "PixelPaddingRangeLimit") or value
    low, high = sorted((value[0], limit[0]))
    if stored.dtype.kind == "i" and low > np.iinfo(stored.dtype).max:  # written as unsigned
        low, high = low - (1 << 16), high - (1 << 16)
    return (stored >= low) & (stored <= high)


def _spacing(dataset: Dataset) -> tuple[tuple[float, float] | None, SpacingKind]:
    """The spacing of rows and columns in mm and what it measures (PS3.3 10.7.1)."""
    pixel = _pair(dataset, "PixelSpacing")
    plate = _pair(dataset, "ImagerPixelSpacing") or _pair(dataset, "NominalScannedPixelSpacing")
    if pixel is None:
        return (plate, "detector") if plate else (None, "unknown")
    calibration = str(dataset.get("PixelSpacingCalibrationType") or "").strip().upper()
    if calibration in ("GEOMETRY", "FIDUCIAL"):
        return pixel, "calibrated"
    if plate is None:
        return pixel, "uncalibrated"
    return pixel, "detector" if np.allclose(pixel, plate, rtol=1e-4) else "calibrated"


def _aspect(sides: tuple[float, float] | None) -> float:
    """The height of a pixel over its width; 1 where it is nearly that, or cannot be believed."""
    aspect = sides[0] / sides[1] if sides else 1.0
    believed = _ASPECTS[0] <= aspect <= _ASPECTS[1] and abs(aspect - 1) > 0.01
    return aspect if believed else 1.0


def _pair(dataset: Dataset, keyword: str) -> tuple[float, float] | None:
    numbers = numbers_of(dataset, keyword)
    if len(numbers) != 2 or min(numbers) <= 0:
        return None
    return numbers[0], numbers[1]


def numbers_of(dataset: Dataset, keyword: str) -> list[float]:
    """The finite numbers of an element; none where it is absent, empty or not made of numbers."""
    with suppress(Exception):
        value = dataset.get(keyword)
        values = [value] if isinstance(value, str | int | float) else list(value or ())
        numbers = [float(number) for number in values]
        if np.isfinite(numbers).all():
            return numbers
    return []
