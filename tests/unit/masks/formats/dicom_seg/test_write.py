"""A DICOM Segmentation belongs to the patient and the study of its film, whatever their names."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from boneseg.errors import RadiographError
from boneseg.masks.formats.dicom_seg.write import read_source, write
from tests.support import orthanc
from tests.support.readings import card, dicom_film, reading

MASK = np.arange(60 * 80).reshape(60, 80) % 7 == 0
LONG = "P" * 70


def raw_elements(path: Path) -> dict[str, bytes]:
    """The elements of a file as bytes, by keyword."""
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    found = {}
    for tag in list(dataset.keys()):
        value = dataset.get_item(tag).value or b""
        if tag == 0x00080005:  # which pydicom decodes as it reads
            value = (value if isinstance(value, str) else "\\".join(value)).encode()
        found[pydicom.datadict.keyword_for_tag(tag)] = value
    return found


def segmented(film: Path) -> Path:
    out = film.with_suffix(".seg.dcm")
    write(out, reading(film, MASK, card()))
    return out


def film_with(path: Path, syntax: str = ExplicitVRLittleEndian, **values: bytes) -> Path:
    """A film whose elements hold the very bytes given."""
    dicom_film(path, syntax=syntax)
    dataset = pydicom.dcmread(path)
    for keyword, value in values.items():
        raw = pydicom.dataelem.RawDataElement(
            pydicom.tag.Tag(pydicom.datadict.tag_for_keyword(keyword)),
            pydicom.datadict.dictionary_VR(keyword),
            len(value),
            value,
            0,
            syntax.is_implicit_VR,
            syntax.is_little_endian,
        )
        dataset[keyword] = raw
    dataset.set_original_encoding(
        syntax.is_implicit_VR, syntax.is_little_endian, dataset._character_set
    )  # else pydicom would decode the bytes
    dataset.save_as(path)
    return path


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
)
@pytest.mark.parametrize(
    "values",
    [
        {"PatientID": b"AB\\CD "},
        {"PatientID": LONG.encode()},
        {"PatientID": b"  17 4 ", "IssuerOfPatientID": b"City\\West "},
        {"AccessionNumber": b"2024/ACC/000000000000017", "StudyID": b"KNEE\\LEFT.1 "},
        {"PatientName": b"Doe\\Jane"},
        {"PatientName": b"M\xfcller^J\xf6rg ", "SpecificCharacterSet": b"ISO_IR 100"},
        {"PatientName": b"M\xc3\xbcller^J\xc3\xb6rg", "SpecificCharacterSet": b"ISO_IR 192"},
        {"PatientName": b"M\xc3\xbcller^J\xc3\xb6rg"},  # without the word for it
        {"PatientID": b"\xff\xfe\x80\x81", "SpecificCharacterSet": b"ISO_IR 192"},
        {
            "PatientName": b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=",
            "SpecificCharacterSet": b"\\ISO 2022 IR 87 ",
        },
        {"ReferringPhysicianName": b"Name^" + b"x" * 77, "StudyDescription": b"Knee\\ap "},
    ],
    ids=lambda values: "-".join(values),
)
def test_identifiers_are_copied_byte_for_byte(tmp_path, values, syntax):
    film = film_with(tmp_path / "film.dcm", syntax, **values)
    found = raw_elements(segmented(film))
    told = raw_elements(film)
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", *values):
        assert found[keyword] == told[keyword] or found[keyword].strip() == told[keyword].strip()
        if keyword in values:
            assert told[keyword].strip() == values[keyword].strip()
    if "SpecificCharacterSet" not in values:
        assert "SpecificCharacterSet" not in found


@pytest.mark.parametrize(
    "uid",
    [b"1.2.03.4", b"1.2.3.4 ", b"1.2.3\0", b"1." + b"2" * 70, b"urn:1.2.3 ", b"1.2.3."],
)
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_uids_that_break_a_rule_are_pointed_at(tmp_path, uid, keyword):
    film = film_with(tmp_path / "film.dcm", **{keyword: uid})
    found = pydicom.dcmread(segmented(film))
    series = found.ReferencedSeriesSequence[0]
    told = {
        "StudyInstanceUID": found.StudyInstanceUID,
        "SeriesInstanceUID": series.SeriesInstanceUID,
        "SOPInstanceUID": series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID,
    }
    assert told[keyword] == uid.decode().strip(" \0")


@pytest.mark.parametrize("uid", [b"", b"  ", b"1.2\\1.3 "])
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID"])
def test_a_film_without_a_uid_cannot_be_pointed_at(tmp_path, uid, keyword):
    film = film_with(tmp_path / "film.dcm", **{keyword: uid})
    if uid == b"1.2\\1.3 ":
        segmented(film)  # the first of several
        return
    with pytest.raises(RadiographError, match=f"has no valid {keyword}"):
        segmented(film)


def test_an_unknown_character_set_becomes_unicode(tmp_path):
    values = {"PatientName": b"M\xfcller^J\xf6rg ", "SpecificCharacterSet": b"ISO_IR 999"}
    found = raw_elements(segmented(film_with(tmp_path / "film.dcm", **values)))
    assert found["SpecificCharacterSet"].strip() == b"ISO_IR 192"
    assert found["PatientName"].decode().strip() == "Müller^Jörg"


@pytest.mark.parametrize("vr", [b"ZZ", b"UN", b"ST"])
def test_an_identifier_of_another_representation_is_copied(tmp_path, vr):
    film = film_with(tmp_path / "film.dcm", PatientID=b"MARK-4711 ")
    data = film.read_bytes()
    old = b"\x10\0\x20\0LO" + (10).to_bytes(2, "little")
    new = b"\x10\0\x20\0" + vr
    new += b"\0\0" + (10).to_bytes(4, "little") if vr == b"UN" else (10).to_bytes(2, "little")
    assert data.count(old) == 1
    film.write_bytes(data.replace(old, new))
    assert raw_elements(segmented(film))["PatientID"] == b"MARK-4711 "


def test_numbers_that_are_none_stop_no_segmentation(tmp_path):
    values = {"InstanceNumber": b"first ", "NumberOfFrames": b"one "}
    found = pydicom.dcmread(segmented(film_with(tmp_path / "film.dcm", **values)))
    assert found.InstanceNumber == 1


def test_a_source_in_memory_keeps_its_identifiers(tmp_path):
    """Of a film that a PACS has sent, whose values are decoded already."""
    film = film_with(tmp_path / "film.dcm", PatientID=b"AB\\CD ")
    source = read_source(film)
    assert list(source.PatientID) == ["AB", "CD"]
    assert isinstance(source, Dataset) and re.fullmatch("[0-9.]+", source.SOPInstanceUID)


@orthanc.needs_orthanc
def test_an_archive_files_a_segmentation_with_its_film(tmp_path):
    """Whatever identifiers it has: one patient and one study for each film."""
    films = {
        "backslash": {"PatientID": b"AB\\CD "},
        "long": {"PatientID": LONG.encode()},
        "padded": {"PatientID": b"  4711", "AccessionNumber": b"2024/ACC/00000000017 "},
        "latin": {"PatientID": b"N\xb0 17", "SpecificCharacterSet": b"ISO_IR 100"},
        "undeclared": {"PatientID": b"N\xb0 18", "PatientName": b"M\xfcller^J"},
        "uid": {"PatientID": b"17", "StudyInstanceUID": b"1.2.03.4"},
    }
    with orthanc.running(tmp_path / "orthanc") as server:
        for name, values in films.items():
            film = film_with(tmp_path / f"{name}.dcm", **values)
            server.put(film)
            server.put(segmented(film))
        for level in ("patients", "studies"):
            assert len(server.get(f"/{level}").json()) == len(films)
        assert len(server.get("/instances").json()) == 2 * len(films)
