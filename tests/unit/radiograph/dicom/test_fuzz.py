"""No DICOM header causes a traceback or a message with patient data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword

from boneseg._util.quiet import quiet
from boneseg.errors import BonesegError
from boneseg.masks.formats.dicom_seg.source import read_source
from boneseg.masks.formats.dicom_seg.write import dicom_seg
from boneseg.radiograph.privacy import public_path
from boneseg.radiograph.read import read_radiograph
from tests.support.readings import dicom_film, reading

READ = (  # elements that are looked at on the way from a file to a film and to its segmentation
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "Modality", "PatientName"),
    *("PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyDate", "StudyTime"),
    *("StudyInstanceUID", "SeriesInstanceUID", "InstanceNumber", "PatientOrientation"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames"),
    *("Rows", "Columns", "PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"),
    *("PixelSpacingCalibrationType", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "WindowCenter"),
    *("WindowWidth", "VOILUTFunction", "RescaleSlope", "RescaleIntercept", "RescaleType"),
    *("ModalityLUTSequence", "VOILUTSequence", "PresentationLUTShape", "ShutterShape"),
    *("ShutterLeftVerticalEdge", "CenterOfCircularShutter", "RadiusOfCircularShutter"),
    *("VerticesOfThePolygonalShutter", "SharedFunctionalGroupsSequence"),
    *("PerFrameFunctionalGroupsSequence", "RedPaletteColorLookupTableDescriptor"),
    *("PixelIntensityRelationship", "PixelIntensityRelationshipSign", "LossyImageCompression"),
)
SHORT = (  # VRs with a length of two bytes, and words that are none
    *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL"),
    *("SS", "ST", "TM", "UI", "UL", "US", "ZZ", "C[", "\0\0", "sq"),
)
LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
VALUES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        (
            *(b"", b"\0", b" ", b"0", b"-1", b"1E200\\1E200", b"NaN", b"inf", b"1e999", b"\\\\"),
            *(b"2048", b"4096\\0", b"MONOCHROME1 ", b"PALETTE COLOR ", b"RGB ", b"YBR_FULL"),
            *(b"\0\0", b"\1\0", b"\3\0", b"\x10\0", b"\xff\xff", b"\0\0\0\0\0\0", b"CIRCULAR"),
            *(b"RECTANGULAR\\POLYGONAL", b"XA", b"CT", b"ISO 2022 IR 87", b"20240101-"),
            *(b"\xfe\xff\0\xe0\0\0\0\0", b"\xfe\xff\0\xe0\xff\xff\xff\xff", b"1.2.840.10008.1.2"),
        )
    ),
)
ELEMENTS = st.dictionaries(
    st.sampled_from(READ), st.tuples(st.sampled_from(SHORT + LONG), VALUES), max_size=5
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("headers")


def element(keyword: str, vr: str, value: bytes) -> bytes:
    """An element in Explicit VR Little Endian."""
    tag = tag_for_keyword(keyword)
    size = len(value).to_bytes(4, "little")
    head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
    head += vr.encode("latin-1")[:2].ljust(2, b"\0")
    return head + (b"\0\0" + size if vr in LONG else size[:2]) + value


def with_elements(film: Path, elements: dict[str, tuple[str, bytes]]) -> bytes:
    """A film with elements put in the place of its own, byte for byte."""
    dataset = pydicom.dcmread(film)
    spliced = {int(tag_for_keyword(word)): element(word, *how) for word, how in elements.items()}
    parts = [bytes(128), b"DICM", _encoded(dataset.file_meta)]
    for tag in sorted({int(element.tag) for element in dataset} | spliced.keys()):
        parts.append(spliced[tag] if tag in spliced else _encoded(dataset[tag : tag + 1]))
    return b"".join(parts)


def _encoded(dataset) -> bytes:
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, False
    write_dataset(out, dataset)
    return out.getvalue()


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(elements=ELEMENTS, frame=st.sampled_from([None, 1, 2]))
def test_a_film_with_any_elements_is_read_or_refused_in_one_line(folder, elements, frame):
    whole = dicom_film(folder / "whole.dcm") if not (folder / "whole.dcm").exists() else None
    path = folder / "film.dcm"
    path.write_bytes(with_elements(whole or folder / "whole.dcm", elements))
    try:
        film = read_radiograph(path, frame=frame)
    except BonesegError as refusal:
        message = str(refusal)
        assert ("\n" not in message and message.startswith(str(folder))) or "film-" in message
        assert "Zaphod" not in message and "HHGTTG" not in message
    else:
        assert np.isfinite(film.pixels).all()
        assert film.pixels.min() >= 0 and film.pixels.max() <= 1
        assert film.spacing_mm is None or all(0.001 <= side <= 10 for side in film.spacing_mm)
        assert 1 / 8 <= film.aspect <= 8


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(elements=ELEMENTS)
def test_a_film_with_any_elements_has_a_segmentation_or_none(folder, elements):
    """Rows and Columns are those that the film was read with."""
    whole = dicom_film(folder / "seen.dcm") if not (folder / "seen.dcm").exists() else None
    path = folder / "pointed.dcm"
    one = reading(whole or folder / "seen.dcm", np.ones((60, 80), bool))
    path.write_bytes(with_elements(folder / "seen.dcm", elements))
    try:
        found = dicom_seg(read_source(path), one)
        with quiet():
            found.save_as(folder / "out.dcm", enforce_file_format=True)
    except BonesegError as refusal:
        assert "\n" not in str(refusal)


@given(elements=ELEMENTS)
def test_any_header_has_a_public_path(folder, elements):
    whole = dicom_film(folder / "known.dcm") if not (folder / "known.dcm").exists() else None
    path = folder / "named.dcm"
    path.write_bytes(with_elements(whole or folder / "known.dcm", elements))
    assert public_path(path).suffix == ".dcm"
