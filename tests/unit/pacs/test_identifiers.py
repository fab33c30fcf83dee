"""Names of films in messages, without patient data."""

from __future__ import annotations

from pathlib import Path

from boneseg.pacs.identifiers import digest, hashed, public_uid, with_uid
from tests.support.readings import dicom_film


def test_a_uid_with_patient_data_is_not_shown(tmp_path: Path) -> None:
    film = dicom_film(tmp_path / "knee.dcm", PatientID="4711", PatientBirthDate="19690720")
    assert public_uid("1.2.3", film) == "1.2.3"
    for uid in ("1.2.4711.3", "1.2.19690720", "../1.2", "Zaphod"):
        assert public_uid(uid, film) is None
    assert (with_uid("film 1", "1.2.3"), with_uid("film 1", None)) == ("film 1 (1.2.3)", "film 1")


def test_objects_are_named_by_a_hash_of_their_uid() -> None:
    assert hashed("film", "1.2.3") == f"film {digest('1.2.3')}"
    assert len(digest("1.2.3")) == 12 and digest("1.2.3") != digest("1.2.4")
    assert int(digest("1.2.3"), 16) and "1.2.3" not in hashed("film", "1.2.3")
