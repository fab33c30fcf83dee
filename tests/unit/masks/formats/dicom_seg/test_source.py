"""The film that a segmentation or a report is derived from."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.uid import UID

from boneseg.errors import RadiographError
from boneseg.masks.formats.dicom_seg.source import (
    anchor_of,
    derived_uid,
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
