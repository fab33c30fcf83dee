"""Read a DICOM radiograph as it is meant to be displayed (called by `read_radiograph`).

The header is read in `radiograph/dicom/header.py`, the pixels in `radiograph/dicom/pixels.py`, and
stored values are transformed to grey in `radiograph/dicom/display.py`.

Messages quote nothing from the file except its kind, and no file name that identifies the patient
(see `radiograph/privacy.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydicom import uid as classes
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from boneseg.errors import BonesegError, RadiographError
from boneseg.radiograph.dicom.display import display
from boneseg.radiograph.dicom.file import InflationError, read_file
from boneseg.radiograph.dicom.header import (
    normalise,
    ratio_of,
    select_frame,
    spacing_of,
    text_of,
)
from boneseg.radiograph.dicom.pixels import decode
from boneseg.radiograph.film import Radiograph, check_size, pick_frame

Naming = Callable[[Dataset | None], Path]

# Projection modalities, and OT, used for secondary captures (C.7.3.1.1.1).
PROJECTIONS = ("CR", "DX", "DR", "RF", "XA", "MG", "IO", "PX", "RG", "CF", "DF", "VF", "OT")
_OTHER_KINDS = {
    "CT": "a CT slice",
    "MR": "an MR slice",
    "PT": "a PET slice",
    "NM": "a nuclear medicine image",
    "US": "an ultrasound image",
    "IVUS": "an ultrasound image",
    "ES": "an endoscopic image",
    "XC": "a photograph",
    "SM": "a microscopy slide",
    "SR": "a structured report",
    "KO": "a key object selection",
    "PR": "a presentation state",
    "SEG": "a segmentation",
    "RTSTRUCT": "an RT structure set",
    "RTPLAN": "a treatment plan",
    "RTDOSE": "a dose map",
    "ECG": "a waveform",
    "DOC": "a document",
}
# The other defined terms (C.7.3.1.1.1); any other value could contain patient data.
_OTHER_MODALITIES = frozenset(
    (
        *("AR", "AS", "ASMT", "AU", "BDUS", "BI", "BMD", "CD", "CFM", "CP", "CS", "CTPROTOCOL"),
        *("DD", "DG", "DM", "DMS", "DS", "EC", "EEG", "EMG", "EOG", "EPS", "FA", "FID", "FS"),
        *("GM", "HC", "HD", "IOL", "IVOCT", "KER", "LEN", "LP", "LS", "MA", "MS", "OAM", "OCT"),
        *("OP", "OPM", "OPT", "OPTBSV", "OPTENF", "OPV", "OSS", "PA", "PLAN", "POS", "REG"),
        *("RESP", "RTIMAGE", "RTINTENT", "RTRAD", "RTRECORD", "RTSEGANN", "RWV", "SMR", "SRF"),
        *("ST", "STAIN", "TEXTUREMAP", "TG", "VA", "XAPROTOCOL"),
    )
)
# SOP classes that Modality does not always distinguish from a projection.
_OTHER_CLASSES = {
    classes.CTImageStorage: "a CT slice",
    classes.EnhancedCTImageStorage: "a CT slice",
    classes.MRImageStorage: "an MR slice",
    classes.EnhancedMRImageStorage: "an MR slice",
    classes.PositronEmissionTomographyImageStorage: "a PET slice",
    classes.NuclearMedicineImageStorage: "a nuclear medicine image",
    classes.UltrasoundImageStorage: "an ultrasound image",
    classes.UltrasoundMultiFrameImageStorage: "an ultrasound image",
    classes.XRay3DAngiographicImageStorage: "a reconstructed volume",
    classes.XRay3DCraniofacialImageStorage: "a reconstructed volume",
    classes.BreastTomosynthesisImageStorage: "a reconstructed volume",
}
_ASPECTS = (1 / 8, 8)  # of pixels; the plausible range


def read_dicom(
    source: Path, named: Naming, *, invert: bool = False, frame: int | None = None
) -> Radiograph:
    """Read one frame of a DICOM projection radiograph; see `read_radiograph`.

    `named` gives the name of the file in messages from its header, None where that cannot be read.
    Raises RadiographError if the file is damaged, of another kind, or has no image, and OutputError
    if the system cannot start a decoder for it.
    """
    dataset = _parse(source, named)
    path = named(dataset)
    try:
        _refuse_other_kinds(dataset, path)
        normalise(dataset, path)
        count = int(dataset.get("NumberOfFrames", 1))
        height, width = int(dataset.Rows), int(dataset.Columns)
        index = pick_frame(path, count, frame)
        check_size(path, height, width)
        select_frame(dataset, index)
        stored = decode(dataset, index, path)
        spacing, kind = spacing_of(dataset)
        aspect = _aspect(spacing or ratio_of(dataset))
        grey = display(stored, dataset, path, aspect=aspect, invert=invert)
    except (BonesegError, MemoryError, OSError):
        raise
    except Exception:  # invalid values, which the message could quote
        raise RadiographError(
            f"{path}: is a damaged DICOM file (invalid image attributes); export it again"
        ) from None
    return Radiograph.stored(grey, spacing, kind, source, aspect, index + 1)


def _parse(source: Path, named: Naming) -> FileDataset:
    problem = "is damaged or truncated, or is not a DICOM file; export it again"
    try:
        dataset = read_file(source)
        if not text_of(dataset.file_meta, "TransferSyntaxUID"):
            implicit, little = dataset.original_encoding
            explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
        marks = ("SOPClassUID", "Modality", "Rows", "DirectoryRecordSequence")
        if any(mark in dataset for mark in marks):
            return dataset
    except (MemoryError, OSError):
        raise
    except InflationError as error:
        problem = f"{error}; export it again without deflate"
    except Exception:  # pydicom's message could quote the file
        pass
    raise RadiographError(f"{named(None)}: {problem}")


def _refuse_other_kinds(dataset: Dataset, path: Path) -> None:
    if "DirectoryRecordSequence" in dataset:
        raise RadiographError(
            f"{path}: is a media index (DICOMDIR), not a radiograph; give the folder"
        )
    if kind := _other_kind(dataset):
        raise RadiographError(
            f"{path}: is {kind}, not a radiograph; give a projection (CR, DX, RF, XA, MG, IO, PX)"
        )
    if "PixelData" not in dataset:
        raise RadiographError(
            f"{path}: is a DICOM file without an image, or is truncated; give the file of the film"
        )


def _other_kind(dataset: Dataset) -> str | None:
    modality = text_of(dataset, "Modality").upper()
    if modality and modality not in PROJECTIONS:
        named = f"DICOM of modality {modality}" if modality in _OTHER_MODALITIES else None
        return _OTHER_KINDS.get(modality) or named or "DICOM of another kind"
    return _OTHER_CLASSES.get(classes.UID(text_of(dataset, "SOPClassUID")))


def _aspect(sides: tuple[float, float] | None) -> float:
    """The height of a pixel divided by its width; 1 if it is close to 1 or implausible."""
    aspect = sides[0] / sides[1] if sides else 1.0
    believed = _ASPECTS[0] <= aspect <= _ASPECTS[1] and abs(aspect - 1) > 0.01
    return aspect if believed else 1.0
