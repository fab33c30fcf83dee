"""The DICOM Segmentation of a film from the network, and the names that logs give to films."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from boneseg.errors import RadiographError
from boneseg.inference.engine import Engine
from boneseg.pacs.segment import answer, digest, hashed, label, public_uid
from boneseg.radiograph.read import read_radiograph
from tests.support.films import PATIENT, bone, dicom
from tests.support.readings import dicom_film


def test_a_film_becomes_a_segmentation_of_the_same_study(tmp_path: Path, engine: Engine) -> None:
    film = dicom_film(tmp_path / "knee.dcm")
    source, found = pydicom.dcmread(film), answer(film, engine, "film 1")
    assert found.Modality == "SEG"
    assert found.StudyInstanceUID == source.StudyInstanceUID
    assert found.PatientName == PATIENT  # by design
    assert np.array_equal(found.pixel_array.squeeze() > 0, engine.segment(read_radiograph(film)))


def test_errors_name_the_film_as_asked_and_not_its_file(tmp_path: Path, engine: Engine) -> None:
    film = dicom(tmp_path / "Zaphod.dcm", bone(4, 4), StudyInstanceUID="1.2")
    with pytest.raises(RadiographError, match=r"^film 1: 4 x 4 pixels is too small") as refusal:
        answer(film, engine, "film 1")
    assert "Zaphod" not in str(refusal.value)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "film 1: does not fit into memory; reduce it"),
        (KeyError("Zaphod"), "film 1: segmentation failed (KeyError); try boneseg segment on it"),
    ],
)
def test_an_unexpected_error_is_one_line_without_its_own_words(
    tmp_path: Path,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    message: str,
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(engine, "find", fail)
    with pytest.raises(RadiographError) as refusal:
        answer(dicom_film(tmp_path / "knee.dcm"), engine, "film 1")
    assert str(refusal.value).split(";")[0] == message.split(";")[0]


def test_a_uid_with_patient_data_is_not_shown(tmp_path: Path) -> None:
    film = dicom_film(tmp_path / "knee.dcm", PatientID="4711", PatientBirthDate="19690720")
    assert public_uid("1.2.3", film) == "1.2.3"
    for uid in ("1.2.4711.3", "1.2.19690720", "../1.2", "Zaphod"):
        assert public_uid(uid, film) is None
    assert (label("film 1", "1.2.3"), label("film 1", None)) == ("film 1 (1.2.3)", "film 1")


def test_objects_are_named_by_a_hash_of_their_uid() -> None:
    assert hashed("film", "1.2.3") == f"film {digest('1.2.3')}"
    assert len(digest("1.2.3")) == 12 and digest("1.2.3") != digest("1.2.4")
    assert int(digest("1.2.3"), 16) and "1.2.3" not in hashed("film", "1.2.3")
