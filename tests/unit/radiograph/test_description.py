"""The facts of a film name what its header says that it shows, and never the patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boneseg.radiograph import description
from boneseg.radiograph.description import describe, stated_medial_side
from tests.support.films import dicom

PIXELS = np.zeros((32, 32), np.uint16)


def test_part_view_and_laterality_are_read(tmp_path: Path) -> None:
    header = {"BodyPartExamined": "KNEE", "ViewPosition": "AP", "Laterality": "L"}
    film = dicom(tmp_path / "knee.dcm", PIXELS, **header)
    assert describe(film) == {"part": "KNEE", "view": "AP", "laterality": "L"}
    film = dicom(tmp_path / "knee.dcm", PIXELS, **header, ImageLaterality="R")
    assert describe(film)["laterality"] == "R"


@pytest.mark.parametrize("word", ["DOE", "JOHN DOE", "Left knee of J. Doe", "1234"])
def test_a_patient_is_never_named(tmp_path: Path, word: str) -> None:
    header = {"PatientName": "Doe^John", "PatientID": "1234"}
    film = dicom(tmp_path / "film.dcm", PIXELS, **header, BodyPartExamined=word, ViewPosition="PA")
    assert describe(film) == {"view": "PA"}


@pytest.mark.parametrize(
    ("laterality", "rows", "side"),
    [
        ("R", "L", "right"),  # as a film is usually displayed
        ("L", "L", "left"),
        ("L", "R", "right"),  # mirrored
        ("R", "LF", "right"),
        ("B", "L", None),
        ("", "L", None),
        ("L", "", None),
        ("L", "A", None),  # a lateral film
    ],
)
def test_the_medial_side_is_that_of_the_laterality_and_the_direction_of_the_rows(
    tmp_path: Path, laterality: str, rows: str, side: str | None
) -> None:
    orientation = [rows, "F"] if rows else []
    header = {"Laterality": laterality, "PatientOrientation": orientation}
    assert stated_medial_side(dicom(tmp_path / "leg.dcm", PIXELS, **header)) == side


def test_the_medial_side_takes_one_reading_of_the_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = dicom(tmp_path / "leg.dcm", PIXELS, Laterality="R", PatientOrientation=["L", "F"])
    read, readings = description.read_file, []
    monkeypatch.setattr(
        description, "read_file", lambda path, **how: readings.append(path) or read(path, **how)
    )
    assert stated_medial_side(film) == "right" and readings == [film]


def test_other_files_say_nothing(tmp_path: Path) -> None:
    Image.new("L", (32, 32)).save(tmp_path / "knee.png")
    (tmp_path / "damaged.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 40)
    assert stated_medial_side(tmp_path / "knee.png") is None
    assert stated_medial_side(tmp_path / "damaged.dcm") is None
    assert describe(tmp_path / "knee.png") == describe(tmp_path / "damaged.dcm") == {}
