"""The table of measurements: a row for each film, with the area and size of its bone."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from boneseg.masks.formats.measurements import read_document
from boneseg.masks.segmentation import Segmentation
from tests.support.readings import MASK, dicom_film, picture, reading, written
from tests.support.verdicts import REVIEW


def row(one: Segmentation, folder: Path) -> dict[str, str]:
    with written("measurements", one, folder).open() as file:
        (only,) = csv.DictReader(file)
    return only


def test_a_film_is_a_row_with_the_size_of_all_its_bone(tmp_path: Path) -> None:
    mask = np.zeros((60, 80), bool)
    mask[10:50, 20:30] = True  # a bar of 40 x 10 pixels, upright
    mask[5, 25] = True  # above it
    film = dicom_film(tmp_path / "knee.dcm", ImagerPixelSpacing=[0.5, 0.2])
    found = row(reading(film, mask), tmp_path)
    assert (found["film"], found["fragments"], found["spacing"]) == ("knee.dcm", "2", "detector")
    assert (float(found["area_px"]), float(found["area_mm2"])) == (401, 40.1)
    assert float(found["bone_share"]) == round(401 / 4800, 6)
    assert float(found["length_px"]) == 45 and float(found["length_mm"]) == 22.5
    assert abs(float(found["width_px"]) - 10) < 0.1


def test_a_film_without_bone_has_a_row_and_one_without_spacing_no_mm(tmp_path: Path) -> None:
    film = picture(tmp_path / "knee.png")
    empty = row(reading(film, np.zeros_like(MASK)), tmp_path)
    assert (empty["area_px"], empty["fragments"], empty["length_px"]) == ("0", "0", "")
    found = row(reading(film, MASK), tmp_path)
    assert (found["length_mm"], found["area_mm2"], found["spacing"]) == ("", "", "unknown")
    assert int(found["area_px"]) == MASK.sum()


def test_the_calibration_beside_a_film_gives_its_mm(tmp_path: Path) -> None:
    film = picture(tmp_path / "knee.png")
    (tmp_path / "calibration.csv").write_text("name,mm_per_pixel,how\nknee,0.5,a ruler\n")
    (tmp_path / "out").mkdir()
    found = row(reading(film, MASK), tmp_path / "out")
    assert found["spacing"] == "user"
    assert float(found["area_mm2"]) == MASK.sum() * 0.25
    assert float(found["length_mm"]) == pytest.approx(float(found["length_px"]) / 2, abs=0.02)


def test_the_row_has_the_verdict_on_its_film(tmp_path: Path) -> None:
    film = picture(tmp_path / "knee.png")
    for verdict in (REVIEW, None):
        found = row(replace(reading(film, MASK), judged=verdict), tmp_path)
        said = tuple(found[name] for name in ("part", "projection", "verdict", "reason", "trust"))
        known = ("chest", "frontal", "review", REVIEW.reason, "0.81")
        assert said == (known if verdict else ("",) * 5)


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = written("measurements", reading(picture(tmp_path / "knee.png"), MASK), tmp_path)
    rows = list(csv.reader(path.read_text().splitlines()))
    assert read_document(path) == {"knee.png": rows[1:]}
