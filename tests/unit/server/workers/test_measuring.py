"""The tasks of measures, as a worker runs them."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import cast

import numpy as np
import pydicom

from boneseg.inference.engine import Engine
from boneseg.masks.measures.geometry import Measure
from boneseg.masks.measures.table import MeasuredFilm
from boneseg.server.encoding import packed_mask
from boneseg.server.workers.measuring import (
    FindMedialSide,
    ReportMeasures,
    SuggestAlignment,
    encoded_table,
)
from tests.support.films import dicom
from tests.support.readings import dicom_film

NO_ENGINE = cast("Engine", None)  # a mask is enough
LINE = Measure("length", ((0, 0), (30, 40)))


def test_a_mask_without_a_leg_has_no_alignment(tmp_path: Path) -> None:
    mask = np.zeros((60, 80), bool)
    mask[10:20, 10:20] = True
    packed = packed_mask(mask)
    assert gzip.decompress(packed)
    task = SuggestAlignment(tmp_path / "hand.png", "hand", packed, (60, 80))
    assert task.run(NO_ENGINE) == []


def test_the_header_says_which_side_is_medial_where_the_mask_shows_no_femur(tmp_path: Path) -> None:
    header = {"Laterality": "R", "PatientOrientation": ["L", "F"]}
    film = dicom(tmp_path / "leg.dcm", np.zeros((60, 80), np.uint16), **header)
    blank = packed_mask(np.zeros((60, 80), bool))
    task = FindMedialSide(film, "leg", blank, (60, 80), (40, 5), (40, 50))
    assert task.run(NO_ENGINE) == "right"


def test_a_report_has_the_calibration_of_its_film(tmp_path: Path) -> None:
    path = dicom_film(tmp_path / "knee.dcm")
    (tmp_path / "calibration.csv").write_text("name,mm_per_pixel,how\nknee,0.5,ball\n")
    name, content = ReportMeasures(path, "knee", (LINE,)).run(NO_ENGINE)
    report = pydicom.dcmread(io.BytesIO(content))
    assert (name, report.Modality) == ("knee.dcm", "SR")
    words = str(report)
    assert "'ball'" in words and "'25.0'" in words and "'mm'" in words and "{pixels}" not in words


def test_a_table_is_csv() -> None:
    head, row = encoded_table([MeasuredFilm("a.png", [LINE], None, "unknown")]).decode().split()[:2]
    assert head.startswith("film,measure,name") and row.startswith("a.png,1,,length,length,50.0,px")
