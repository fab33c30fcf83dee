"""The table of measurements: a row for each bone, with its area, length and angle."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from boneseg.masks.formats.measurements import extent, read_document
from tests.support.readings import MASK, dicom_film, picture, reading, written
from tests.support.verdicts import REVIEW

# --- measurements ---


def test_measurements_are_a_row_a_piece(tmp_path: Path) -> None:
    mask = np.zeros((60, 80), bool)
    mask[10:50, 20:30] = True  # a bar of 40 x 10 pixels, upright
    mask[5, 5] = True
    film = dicom_film(tmp_path / "knee.dcm", ImagerPixelSpacing=[0.5, 0.2])
    with written("measurements", reading(film, mask), tmp_path).open() as file:
        bar, dot = csv.DictReader(file)
    assert (bar["film"], bar["piece"], dot["piece"]) == ("knee.dcm", "1", "2")
    assert (float(bar["x"]), float(bar["y"])) == (25, 30)
    assert (float(bar["area_px"]), float(bar["area_mm2"])) == (400, 40)
    assert (float(bar["length_px"]), float(bar["length_mm"])) == (40, 20)
    assert (float(bar["width_px"]), float(bar["width_mm"])) == (10, 2)
    assert (bar["angle_degrees"], bar["spacing"]) == ("0.0", "detector")
    assert (float(dot["length_px"]), float(dot["width_px"])) == (1, 1)


def test_a_film_without_bones_has_a_row_and_one_without_spacing_no_mm(tmp_path: Path) -> None:
    film = picture(tmp_path / "knee.png")
    with written("measurements", reading(film, np.zeros_like(MASK)), tmp_path).open() as file:
        (row,) = csv.DictReader(file)
    assert (row["piece"], row["area_px"], row["length_px"]) == ("0", "0", "")
    with written("measurements", reading(film, MASK), tmp_path).open() as file:
        rows = list(csv.DictReader(file))
    assert {row["length_mm"] for row in rows} == {""}
    assert {row["spacing"] for row in rows} == {"unknown"}
    assert sum(int(row["area_px"]) for row in rows) == MASK.sum()


def test_every_row_has_the_verdict_on_its_film(tmp_path: Path) -> None:
    film = picture(tmp_path / "knee.png")
    for verdict in (REVIEW, None):
        one = replace(reading(film, MASK), judged=verdict)
        with written("measurements", one, tmp_path).open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) > 1
        said = {(r["part"], r["projection"], r["verdict"], r["reason"], r["trust"]) for r in rows}
        known = ("chest", "frontal", "review", REVIEW.reason, "0.81")
        assert said == {known if verdict else ("",) * 5}


def test_a_table_of_an_older_version_is_read_without_verdicts(tmp_path: Path) -> None:
    path = written("measurements", reading(picture(tmp_path / "knee.png"), MASK), tmp_path)
    rows = list(csv.reader(path.read_text().splitlines()))
    path.write_text("".join(",".join(row[:-5]) + "\n" for row in rows))
    assert read_document(path) == {"knee.png": rows[1:]}


@pytest.mark.parametrize("degrees", [0, 20, 45, 70, -30])
def test_a_slanting_bar_has_its_length_and_angle(degrees: float) -> None:
    rows, columns = np.mgrid[:400, :400] + 0.5 - 200
    turn = np.radians(degrees)
    along = rows * np.cos(turn) - columns * np.sin(turn)
    across = rows * np.sin(turn) + columns * np.cos(turn)
    found = extent(np.argwhere((np.abs(along) < 150) & (np.abs(across) < 20)))
    assert found.length == pytest.approx(300, abs=2.5)
    assert found.width == pytest.approx(40, abs=2.5)
    assert found.degrees == pytest.approx(degrees, abs=0.5)
