"""The DICOM film that a segmentation or a structured report is derived from.

Patient and study are copied by design. Identifiers are copied byte for byte, even if they violate
the standard (a backslash in Patient ID, 17 characters of Accession Number): with another
identifier, or none, the derived file would belong to another patient. Descriptions of the patient
or the study are left empty if they are not valid.
"""

from __future__ import annotations

import copy
import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pydicom import config
from pydicom.charset import convert_encodings, default_encoding, python_encoding
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filewriter import correct_ambiguous_vr
from pydicom.uid import ComputedRadiographyImageStorage
from pydicom.valuerep import DA, TM, validate_value

from boneseg._util.quiet import quiet
from boneseg.errors import RadiographError
from boneseg.radiograph.dicom.file import read_file
from boneseg.radiograph.dicom.header import numbers_of, text_of, texts_of
from boneseg.radiograph.sniff import is_dicom

_NAMESPACE = uuid.UUID("c7a90b0e-3c51-5d0c-9d1d-7f6f3d0b6b52")  # of all UIDs generated here

# Type 1 in every image, and so in every reference to one (PS3.3 C.12.1, C.7.2.1, C.7.3.1).
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
# Identifiers of the patient and the study (Patient and General Study modules).
_IDENTIFIERS = (
    *("PatientName", "PatientID", "IssuerOfPatientID"),
    *("AccessionNumber", "StudyID", "StudyDescription", "ReferringPhysicianName"),
)
# Descriptions of them (also Patient Study module), copied where valid.
_DESCRIPTIONS = (
    *("PatientBirthDate", "PatientSex", "PatientAge", "PatientSize", "PatientWeight"),
    *("PatientIdentityRemoved", "DeidentificationMethod", "StudyDate", "StudyTime"),
)
_UID = re.compile(r"[!-\[\]-~]+")  # printable, and one value; archives hold more than the standard
_SEXES = ("M", "F", "O", "")
# 31 February and date ranges match the pattern, and fail only when converted to dates.
_TIMES: dict[str, Callable[[str], object]] = {"DA": DA, "TM": TM}


def derived_uid(*parts: object) -> str:
    """A UID derived only from the parts (PS3.5 B.2: 2.25 and a UUID as one integer)."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, '/'.join(map(str, parts))).int}"


def read_source(path: Path, name: Path | None = None) -> Dataset:
    """The header of a DICOM film, without its pixels; errors call it `name`.

    Raises RadiographError.
    """
    try:
        if is_dicom(path):
            with quiet():
                return read_file(path, pixels=False)
    except Exception:  # pydicom's message could quote the file
        raise RadiographError(f"{name or path}: cannot be read as DICOM; export it again") from None
    raise RadiographError(
        f"{name or path}: is not a DICOM film, so no DICOM file can reference it; "
        "omit dicom-seg, or give the DICOM file"
    )


def missing_identifier(source: Dataset) -> str | None:
    """The first required identifier that a film lacks or that is not valid; None if it has all."""
    missing = (keyword for keyword in _NEEDED if not _UID.fullmatch(text_of(source, keyword)))
    return next(missing, None)


def matrix_of(source: Dataset) -> tuple[int, ...]:
    """Height and width, which some archives return as text."""
    sides = (numbers_of(source, keyword) for keyword in ("Rows", "Columns"))
    return tuple(int(side[0]) for side in sides if side)


def anchor_of(source: Dataset) -> Dataset:
    """The film as highdicom needs it: one frame, no position in space, valid values only.

    Anything else in the source (several frames, half a Frame of Reference, an invalid date) would
    make highdicom refuse it, or make what is derived invalid. Its class is that of a CR film,
    since those of XA and RF imply several frames; the caller restores the real one.
    """
    anchor = Dataset()
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"):
        setattr(anchor, keyword, "")  # type 2: present, empty where unknown
    for keyword in ("AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
        setattr(anchor, keyword, "")
    anchor.ReferringPhysicianName = ""
    for keyword in _DESCRIPTIONS:
        if is_valid(source, keyword):
            setattr(anchor, keyword, source[keyword].value)
    if anchor.PatientSex not in _SEXES:
        anchor.PatientSex = ""
    for keyword in _NEEDED:
        setattr(anchor, keyword, text_of(source, keyword))
    anchor.Rows, anchor.Columns = matrix_of(source)
    anchor.SOPClassUID = ComputedRadiographyImageStorage
    anchor.Modality = "OT"
    return anchor


def identify(derived: Dataset, source: Dataset) -> None:
    """Copy the identifiers of the film as they are, with their character set.

    Text in an unknown character set is written as Unicode.
    """
    names = texts_of(source, "SpecificCharacterSet")
    known = all(name in python_encoding for name in names)
    for keyword in _IDENTIFIERS:
        with suppress(Exception):  # a value that cannot be decoded
            if not known:
                source[keyword]  # decodes it
            _copy(derived, source, keyword)
    if any(names):
        derived.SpecificCharacterSet = names if known else "ISO_IR 192"
    else:
        derived.pop("SpecificCharacterSet", None)
    # pydicom writes bytes unchanged only in their declared encoding, and then no longer resolves
    # the ambiguous VRs that highdicom leaves
    correct_ambiguous_vr(derived, is_little_endian=True)
    said = derived.get("SpecificCharacterSet")
    encodings = convert_encodings(said) if said else default_encoding
    derived.set_original_encoding(False, True, encodings)


def _copy(derived: Dataset, source: Dataset, keyword: str) -> None:
    """Copy an element with the bytes that the file has, or unchanged if it has been decoded."""
    tag = tag_for_keyword(keyword)
    element = source.get_item(tag) if tag is not None else None
    if isinstance(element, RawDataElement) and element.value:
        value = element.value + b" " * (len(element.value) % 2)
        derived[keyword] = element._replace(
            VR=dictionary_VR(keyword), length=len(value), value=value, is_implicit_VR=False
        )
    elif element is not None and not isinstance(element, RawDataElement):
        derived[keyword] = copy.deepcopy(element)


def is_valid(source: Dataset, keyword: str) -> bool:
    """Whether an element is present and valid in its standard VR."""
    try:
        element, vr = source[keyword], dictionary_VR(keyword)
        values = element.value if element.VM > 1 else [element.value]
        for value in values:
            validate_value(vr, str(value), config.RAISE)  # also of what pydicom made a number
            _TIMES.get(vr, str)(value)
    except Exception:  # a value that pydicom cannot convert
        return False
    return element.VM <= 1 or keyword == "PatientOrientation"
