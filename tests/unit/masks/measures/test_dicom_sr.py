"""Measures as a DICOM structured report: read back by highdicom, and valid by dciodvfy."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import highdicom
import pydicom
import pytest
from pydicom.dataset import Dataset

from boneseg.errors import RadiographError
from boneseg.masks.formats.dicom_seg.source import read_source
from boneseg.masks.measures.dicom_sr import dicom_sr
from boneseg.masks.measures.geometry import Measure
from boneseg.radiograph.read import read_radiograph
from tests.support.readings import dicom_film

MEASURES = [
    Measure("length", ((10, 10), (40, 50)), "plate"),
    Measure("angle", ((10, 10), (10, 40), (40, 40))),
    Measure("cobb", ((10, 10), (60, 12), (10, 40), (60, 50)), "T5 to T12"),
    Measure("alignment", ((30, 5), (32, 30), (28, 58)), suggested=True, medial="left"),
]


def report(path: Path, measures: list[Measure] = MEASURES, how: str = "") -> Dataset:
    return dicom_sr(read_source(path), read_radiograph(path), measures, path, how)


def found(made: Dataset) -> list[tuple[str, str, float, str]]:
    """Tracking identifier, name, value and unit of each measurement."""
    groups = made.content.get_image_measurement_groups()
    return [
        (group.tracking_identifier, one.name.meaning, float(one.value), one.unit.value)
        for group in groups
        for one in group.get_measurements()
    ]


def lines_of(group: Any) -> list[list[float]]:
    """The lines of a group's first measurement."""
    (measurement,) = group.get_measurements()[0]
    return [item.GraphicData for item in measurement.ContentSequence if "GraphicData" in item]


def test_highdicom_reads_the_values_and_the_lines(tmp_path: Path) -> None:
    path = dicom_film(tmp_path / "knee.dcm", ImagerPixelSpacing=[0.5, 0.5], PatientName="A^B")
    report(path).save_as(tmp_path / "knee.sr.dcm", enforce_file_format=True)
    read = highdicom.sr.srread(tmp_path / "knee.sr.dcm")
    assert found(read)[:3] == [
        ("plate", "Length", 25.0, "mm"),
        ("angle 2", "Angle", 90.0, "deg"),
        ("T5 to T12", "Cobb angle", 9.019, "deg"),
    ]
    assert [name for _, name, _, _ in found(read)[3:]] == [
        "Hip-knee-ankle angle",
        "Varus angle",
        "Mechanical axis deviation",
        "Length from hip to knee",
        "Length from knee to ankle",
        "Length from hip to ankle",
    ]
    assert read.PatientName == "A^B"
    cobb = read.content.get_image_measurement_groups()[2]
    assert lines_of(cobb) == [[10, 10, 60, 12], [10, 40, 60, 50]]


def test_lengths_of_a_film_without_spacing_are_in_px(tmp_path: Path) -> None:
    path = dicom_film(tmp_path / "knee.dcm")
    report(path).save_as(tmp_path / "knee.sr.dcm", enforce_file_format=True)
    read = highdicom.sr.srread(tmp_path / "knee.sr.dcm")
    assert found(read)[0] == ("plate", "Length", 50.0, "{pixels}")


def spacings(made: Dataset) -> set[tuple[str, str, str]]:
    """What is said of the mm of each group: a code's value and meaning, and the user's words."""
    found = set()
    for group in made.content.get_image_measurement_groups():
        (said,) = group.get_qualitative_evaluations()
        assert (said.name.value, said.name.scheme_designator) == ("122422", "DCM")
        words = [item.TextValue for item in group[0].ContentSequence if is_comment(item)]
        found.add((said.value.value, said.value.meaning, " ".join(words)))
    return found


def is_comment(item: Dataset) -> bool:
    return item.ValueType == "TEXT" and item.ConceptNameCodeSequence[0].CodeValue == "121106"


@pytest.mark.parametrize(
    ("header", "table", "value"),
    [
        ({"ImagerPixelSpacing": [0.5, 0.5]}, "", ("113941", "In Detector Plane", "")),
        (
            {"PixelSpacing": [0.5, 0.5], "PixelSpacingCalibrationType": "FIDUCIAL"},
            "",
            ("PATIENT", "In the patient, corrected for magnification", ""),
        ),
        (
            {"PixelSpacing": [0.5, 0.5]},
            "",
            ("UNCALIBRATED", "In the patient or on the detector, not stated", ""),
        ),
        (
            {"PixelSpacing": [1, 1]},
            "",
            ("PLACEHOLDER", "None: pixel spacing of 1 mm is a placeholder", ""),
        ),
        ({}, "", ("UNKNOWN", "None: pixel spacing unknown", "")),
        (
            {"ImagerPixelSpacing": [0.5, 0.5]},
            "knee,0.25,steel ball of 25 mm",
            ("USER", "Pixel spacing given by the user", "steel ball of 25 mm"),
        ),
    ],
)
def test_each_group_says_what_its_mm_are(
    tmp_path: Path, header: dict[str, object], table: str, value: tuple[str, str, str]
) -> None:
    path = dicom_film(tmp_path / "knee.dcm", **header)
    if table:
        (tmp_path / "calibration.csv").write_text(f"name,mm_per_pixel,how\n{table}\n")
    report(path, how=value[2]).save_as(tmp_path / "knee.sr.dcm", enforce_file_format=True)
    assert spacings(highdicom.sr.srread(tmp_path / "knee.sr.dcm")) == {value}


def test_points_outside_the_film_are_refused_by_name(tmp_path: Path) -> None:
    path = dicom_film(tmp_path / "knee.dcm", height=60, width=80)
    past = Measure("length", ((10, 10), (80.5, 50)))
    with pytest.raises(RadiographError, match=r"knee\.dcm: length 2 has a point outside the film"):
        report(path, [MEASURES[0], past])
    edge = Measure("length", ((0, 0), (80, 60)))
    report(path, [edge]).save_as(tmp_path / "knee.sr.dcm", enforce_file_format=True)
    (group,) = highdicom.sr.srread(tmp_path / "knee.sr.dcm").content.get_image_measurement_groups()
    assert lines_of(group) == [[0, 0, 80, 60]]


def test_the_same_measures_have_the_same_uid(tmp_path: Path) -> None:
    path = dicom_film(tmp_path / "knee.dcm")
    one, same, other = report(path), report(path), report(path, MEASURES[:1])
    assert one.SOPInstanceUID == same.SOPInstanceUID != other.SOPInstanceUID
    assert one.SeriesInstanceUID == other.SeriesInstanceUID


def test_no_report_without_measures_or_identifiers(tmp_path: Path) -> None:
    path = dicom_film(tmp_path / "knee.dcm")
    with pytest.raises(RadiographError, match=r"knee\.dcm: has no measures; draw one first"):
        report(path, [])
    dataset = pydicom.dcmread(path)
    del dataset.StudyInstanceUID
    dataset.save_as(path)
    with pytest.raises(RadiographError, match="has no valid StudyInstanceUID"):
        report(path)


@pytest.mark.skipif(
    shutil.which("dciodvfy") is None, reason="needs dciodvfy, of Debian's dicom3tools"
)
@pytest.mark.parametrize("spacing", [{}, {"ImagerPixelSpacing": [0.2, 0.2]}])
def test_dciodvfy_finds_no_error(tmp_path: Path, spacing: dict[str, list[float]]) -> None:
    path = dicom_film(tmp_path / "knee.dcm", **spacing)
    made = report(path, how="ball of 25 mm")
    made.save_as(tmp_path / "knee.sr.dcm", enforce_file_format=True)
    done = subprocess.run(
        ["dciodvfy", tmp_path / "knee.sr.dcm"], capture_output=True, text=True, check=False
    )
    said = (done.stdout + done.stderr).splitlines()
    assert "ComprehensiveSR" in said
    assert [line for line in said if line.startswith("Error")] == []
