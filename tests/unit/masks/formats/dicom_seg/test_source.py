"""The film that a segmentation or a report is derived from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import UID, ComputedRadiographyImageStorage

from boneseg.errors import RadiographError
from boneseg.masks.formats.dicom_seg.source import (
    anchor_of,
    derived_uid,
    identify,
    is_valid,
    matrix_of,
    missing_identifier,
    read_source,
)
from tests.support.readings import dicom_film


def test_a_derived_uid_is_valid_and_depends_on_every_part() -> None:
    uids = {derived_uid("1.2", 1), derived_uid("1.2", 2), derived_uid("1.3", 1)}
    assert len(uids) == 3 and all(UID(uid).is_valid for uid in uids)
    assert derived_uid("1.2", 1) in uids


def test_the_first_missing_identifier_is_named(tmp_path: Path) -> None:
    source = read_source(dicom_film(tmp_path / "knee.dcm"))
    assert missing_identifier(source) is None
    del source.SeriesInstanceUID
    source.StudyInstanceUID = ""
    assert missing_identifier(source) == "StudyInstanceUID"


def test_an_anchor_has_valid_descriptions_only(tmp_path: Path) -> None:
    film = dicom_film(tmp_path / "knee.dcm", PatientName="A^B", PatientSex="F")
    source = read_source(film)
    anchor = anchor_of(source)
    assert anchor.PatientName == "" and anchor.PatientSex == "F"
    assert anchor.ReferringPhysicianName == "" and anchor.AccessionNumber == ""
    source.PatientSex = "X"
    assert anchor_of(source).PatientSex == ""


def test_a_film_of_another_format_is_refused(tmp_path: Path) -> None:
    film = tmp_path / "knee.png"
    film.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(RadiographError, match="is not a DICOM film, so no DICOM file can"):
        read_source(film)


def test_every_error_names_the_film_and_what_to_do(tmp_path: Path) -> None:
    damaged = tmp_path / "knee.dcm"
    damaged.write_bytes(bytes(128) + b"DICM" + b"\2\0\0\0UL\4\0\xff\xff")
    other = tmp_path / "knee.png"
    other.write_bytes(b"\x89PNG\r\n\x1a\n")
    for path, line in (
        (damaged, "cannot be read as DICOM; export it again"),
        (tmp_path / "missing.dcm", "cannot be read as DICOM; export it again"),
        (
            other,
            "is not a DICOM film, so no DICOM file can reference it; omit dicom-seg, or give the "
            "DICOM file",
        ),
    ):
        for name in (None, Path("film 1.dcm")):
            with pytest.raises(RadiographError) as caught:
                read_source(path, name)
            assert str(caught.value) == f"{name or path}: {line}"


def test_an_anchor_is_one_anonymous_film_with_the_uids_of_its_source(tmp_path: Path) -> None:
    more = {"StudyID": "7", "AccessionNumber": "8", "NumberOfFrames": 1, "Modality": "XA"}
    dates = {"StudyDate": "20200229", "StudyTime": "101112", "PatientBirthDate": "19700101"}
    sizes = {"PatientAge": "050Y", "PatientSize": "1.8", "PatientWeight": "80"}
    source = read_source(dicom_film(tmp_path / "knee.dcm", **more, **dates, **sizes))
    uids = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    expected = {keyword: source[keyword].value for keyword in (*uids, *dates, *sizes)}
    expected |= {"PatientSex": "", "Rows": 60, "Columns": 80, "Modality": "OT"}
    expected |= dict.fromkeys(("PatientID", "PatientName", "AccessionNumber", "StudyID"), "")
    expected |= {"ReferringPhysicianName": "", "SOPClassUID": ComputedRadiographyImageStorage}
    anchor = anchor_of(source)
    assert {element.keyword: element.value for element in anchor} == expected


def test_identifiers_follow_their_film_in_its_character_set(tmp_path: Path) -> None:
    known = {"PatientName": "Müller^Jörg", "PatientID": "A1", "IssuerOfPatientID": "City"}
    known |= {"AccessionNumber": "8", "StudyID": "7", "StudyDescription": "Knie, öffen"}
    known |= {"ReferringPhysicianName": "Weiß"}
    film = dicom_film(tmp_path / "knee.dcm", SpecificCharacterSet="ISO_IR 100", **known)
    derived = Dataset()
    derived.SpecificCharacterSet = "ISO_IR 192"
    identify(derived, read_source(film))
    assert derived.SpecificCharacterSet == "ISO_IR 100"
    assert {keyword: str(derived[keyword].value) for keyword in known} == known
    plain = dicom_film(tmp_path / "hip.dcm", PatientName="Doe^Jane")
    identify(derived, read_source(plain))
    assert "SpecificCharacterSet" not in derived and derived.PatientName == "Doe^Jane"


@pytest.mark.parametrize(
    ("keyword", "value", "valid"),
    [
        ("PatientSex", "F", True),
        ("StudyDate", "20200229", True),
        ("StudyDate", "20200230", False),
        ("StudyTime", "1000", True),
        ("StudyTime", "noon", False),
        ("PatientSize", "1.8", True),
        ("PatientOrientation", ["A", "L"], True),
        ("PatientAge", ["050Y", "051Y"], False),
    ],
)
def test_only_valid_descriptions_are_copied(keyword: str, value: Any, valid: bool) -> None:
    source = Dataset()
    vr = dictionary_VR(keyword)
    source.add(DataElement(keyword, vr, value, validation_mode=config.IGNORE))
    assert is_valid(source, keyword) is valid
    assert not is_valid(Dataset(), keyword)


def test_sides_and_identifiers_are_read_as_archives_give_them() -> None:
    source = Dataset()
    assert matrix_of(source) == ()
    source["Rows"] = DataElement("Rows", "LO", "60")
    assert matrix_of(source) == (60,)
    source.Columns = 80
    assert matrix_of(source) == (60, 80)
    needed = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    for keyword in needed:
        assert missing_identifier(source) == keyword
        setattr(source, keyword, "1.2")
    assert missing_identifier(source) is None
