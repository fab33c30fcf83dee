"""Measures as a DICOM structured report: read back by highdicom, and valid by dciodvfy."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

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
    Measure("alignment", ((30, 5), (32, 30), (28, 58)), suggested=True),
]


def report(path: Path, measures: list[Measure] = MEASURES) -> Dataset:
    return dicom_sr(read_source(path), read_radiograph(path), measures, path)


def found(made: Dataset) -> list[tuple[str, str, float, str]]:
    """Tracking identifier, name, value and unit of each measurement."""
    groups = made.content.get_image_measurement_groups()
    return [
        (group.tracking_identifier, one.name.meaning, float(one.value), one.unit.value)
        for group in groups
        for one in group.get_measurements()
    ]


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
        "Mechanical axis deviation",
        "Length from hip to knee",
        "Length from knee to ankle",
        "Length from hip to ankle",
    ]
    assert read.PatientName == "A^B"
    lines = read.content.get_image_measurement_groups()[2].get_measurements()[0]
    drawn = [item.GraphicData for item in lines[0].ContentSequence if "GraphicData" in item]
    assert drawn == [[10, 10, 60, 12], [10, 40, 60, 50]]


def test_lengths_of_a_film_without_spacing_are_in_px(tmp_path: Path) -> None:
    path = dicom_film(tmp_path / "knee.dcm")
    report(path).save_as(tmp_path / "knee.sr.dcm", enforce_file_format=True)
    read = highdicom.sr.srread(tmp_path / "knee.sr.dcm")
    assert found(read)[0] == ("plate", "Length", 50.0, "{pixels}")


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
    report(path).save_as(tmp_path / "knee.sr.dcm", enforce_file_format=True)
    done = subprocess.run(
        ["dciodvfy", tmp_path / "knee.sr.dcm"], capture_output=True, text=True, check=False
    )
    said = (done.stdout + done.stderr).splitlines()
    assert "ComprehensiveSR" in said
    assert [line for line in said if line.startswith("Error")] == []
