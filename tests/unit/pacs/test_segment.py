"""The DICOM Segmentation of a film from the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from boneseg.errors import RadiographError
from boneseg.inference.engine import Engine
from boneseg.pacs.segment import segment
from boneseg.radiograph.read import read_radiograph
from tests.support.films import PATIENT, bone, dicom
from tests.support.readings import dicom_film


def test_a_film_becomes_a_segmentation_of_the_same_study(tmp_path: Path, engine: Engine) -> None:
    film = dicom_film(tmp_path / "knee.dcm")
    source, segmented = pydicom.dcmread(film), segment(film, engine, "film 1")
    found = segmented.dataset
    assert found.Modality == "SEG"
    assert found.StudyInstanceUID == source.StudyInstanceUID
    assert found.PatientName == PATIENT  # by design
    assert found.ContentQualification == "RESEARCH"
    assert f"trust {segmented.verdict.trust:.2f}" in found.ContentDescription
    assert segmented.verdict.view in found.SegmentSequence[0].SegmentDescription
    assert np.array_equal(found.pixel_array.squeeze() > 0, engine.segment(read_radiograph(film)))


def test_errors_contain_the_display_name_and_not_the_file(tmp_path: Path, engine: Engine) -> None:
    film = dicom(tmp_path / "Zaphod.dcm", bone(4, 4), StudyInstanceUID="1.2")
    with pytest.raises(RadiographError, match=r"^film 1: 4 x 4 pixels is too small") as refusal:
        segment(film, engine, "film 1")
    assert "Zaphod" not in str(refusal.value)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "film 1: does not fit into memory; reduce it"),
        (KeyError("Zaphod"), "film 1: segmentation failed (KeyError); try boneseg segment on it"),
    ],
)
def test_an_unexpected_error_is_one_line_without_its_message(
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
        segment(dicom_film(tmp_path / "knee.dcm"), engine, "film 1")
    assert str(refusal.value).split(";")[0] == message.split(";")[0]
