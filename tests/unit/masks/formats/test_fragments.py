"""The table of fragments: a row for each piece of bone, with its place, size and angle."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from boneseg.masks.formats.fragments import read_document
from tests.support.readings import MASK, dicom_film, picture, reading, written


def test_fragments_are_a_row_a_piece(tmp_path: Path) -> None:
    mask = np.zeros((60, 80), bool)
    mask[10:50, 20:30] = True  # a bar of 40 x 10 pixels, upright
    mask[5, 5] = True
    film = dicom_film(tmp_path / "knee.dcm", ImagerPixelSpacing=[0.5, 0.2])
    with written("fragments", reading(film, mask), tmp_path).open() as file:
        bar, dot = csv.DictReader(file)
    assert (bar["film"], bar["piece"], dot["piece"]) == ("knee.dcm", "1", "2")
    assert (float(bar["x"]), float(bar["y"])) == (25, 30)
    assert (float(bar["area_px"]), float(bar["area_mm2"])) == (400, 40)
    assert (float(bar["length_px"]), float(bar["length_mm"])) == (40, 20)
    assert (float(bar["width_px"]), float(bar["width_mm"])) == (10, 2)
    assert (bar["angle_degrees"], bar["spacing"]) == ("0.0", "detector")
    assert (float(dot["length_px"]), float(dot["width_px"])) == (1, 1)


def test_a_film_without_bone_has_no_row_and_one_without_spacing_no_mm(tmp_path: Path) -> None:
    film = picture(tmp_path / "knee.png")
    path = written("fragments", reading(film, np.zeros_like(MASK)), tmp_path)
    assert len(path.read_text().splitlines()) == 1
    with written("fragments", reading(film, MASK), tmp_path).open() as file:
        rows = list(csv.DictReader(file))
    assert {row["length_mm"] for row in rows} == {""}
    assert {row["spacing"] for row in rows} == {"unknown"}
    assert sum(int(row["area_px"]) for row in rows) == MASK.sum()


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = written("fragments", reading(picture(tmp_path / "knee.png"), MASK), tmp_path)
    rows = list(csv.reader(path.read_text().splitlines()))
    assert len(rows) > 2 and read_document(path) == {"knee.png": rows[1:]}
