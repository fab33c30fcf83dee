"""Tables of patients and body parts are read as spreadsheets write them; gaps are reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from boneseg.dataset.open import open_dataset, survey_dataset
from boneseg.dataset.splits import units
from boneseg.errors import DatasetError
from tests.support.datasets import folder
from tests.support.readings import dicom_film

ABC = ("images/a.png", "images/b.dcm", "images/c.png", "masks/a.png", "masks/b.png", "masks/c.png")


@pytest.mark.parametrize(
    "table",
    [
        "name,group\na,P1\nb,P1\nc,P2\n",
        "a.png,P1\nB,P1\nc,P2",
        "\ufeffFile;Patient\nimages/a.png; P1\nb.dcm;P1\n\nc;P2\n",
        '"a"\t"P1"\nb\tP1\nc\tP2\textra\n',
    ],
)
def test_groups_are_honoured_however_the_table_is_written(table: str, tmp_path: Path) -> None:
    dataset = open_dataset(folder(tmp_path, *ABC, groups=table))
    assert [case.group for case in dataset.cases] == ["P1", "P1", "P2"]
    assert dataset.remarks == ()


def test_parts_are_honoured_and_gaps_are_remarked(tmp_path: Path) -> None:
    dataset = open_dataset(folder(tmp_path, *ABC, parts="name,part\na,knee\nb,hip\nz,hand"))
    assert [case.part for case in dataset.cases] == ["knee", "hip", None]
    (remark,), (gap,) = dataset.remarks, dataset.gaps
    assert "lists z" in remark
    assert "omits c" in gap


def test_a_patient_is_one_however_the_accents_are_stored(tmp_path: Path) -> None:
    table = "a,Zo\u00e9\nb,Zoe\u0301\nc,P2"
    dataset = open_dataset(folder(tmp_path, *ABC, groups=table, parts=table))
    assert [case.group for case in dataset.cases] == ["Zo\u00e9", "Zo\u00e9", "P2"]
    assert [case.part for case in dataset.cases] == ["Zo\u00e9", "Zo\u00e9", "P2"]
    assert len(units(dataset.cases, [0, 1, 2])) == 2
    assert dataset.remarks == ()
    both = "a,Zo\u00e9\na.png,Zoe\u0301\nb,P2\nc,P2"
    assert open_dataset(folder(tmp_path, groups=both)).cases[0].group == "Zo\u00e9"


def test_values_that_differ_in_case_are_remarked(tmp_path: Path) -> None:
    tables = {"groups": "a,P01\nb,p01\nc,P2", "parts": "a,Knee\nb,knee\nc,hip"}
    root = folder(tmp_path, *ABC, **tables)
    of_groups, of_parts = open_dataset(root).remarks
    assert "groups.csv: has P01, p01, equal but for capital letters" in of_groups
    assert "parts.csv: has Knee, knee, equal but for capital letters" in of_parts
    dicom_film(root / "images" / "Mueller.dcm", PatientName="Mueller^Hans")
    assert "groups.csv: has 2 values, equal" in open_dataset(root).remarks[0]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("a,P1\nb,P2", "omits c"),
        ("a,P1\na.png,P2\nb,P1\nc,P1", "twice"),
        ("a,P1\nb,\nc,P1", "no value for 'b'"),
        ("a\nb\nc", "no value for 'a'"),
        ("x,P1\ny,P1", "omits"),
        ("", "omits"),
    ],
)
def test_groups_that_could_leak_are_an_error(table: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=words):
        open_dataset(folder(tmp_path, *ABC, groups=table))


def test_a_table_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    folder(tmp_path, *ABC)
    (tmp_path / "groups.csv").write_bytes(b"a,\xff\xfe\x00")
    with pytest.raises(DatasetError, match="UTF-8"):
        open_dataset(tmp_path)


def test_every_fault_of_a_table_is_listed_for_a_check(tmp_path: Path) -> None:
    root = folder(tmp_path, *ABC, groups="a,P1\na.png,P2\nb,", parts="a,knee\na,hip")
    found = survey_dataset(root).table_faults
    assert [fault.removeprefix(f"{root}/") for fault in found] == [
        "groups.csv: has no value for 'b'; two columns are needed",
        "groups.csv: lists a.png twice, as P1 and P2",
        "groups.csv: omits c; add a row for each film",
        "parts.csv: lists a twice, as knee and hip",
    ]
    with pytest.raises(DatasetError, match="no value for 'b'"):
        open_dataset(root)


def test_a_calibration_without_a_film_is_remarked(tmp_path: Path) -> None:
    root = folder(tmp_path, *ABC, "images/d.png", calibration="name,mm_per_pixel\nd,0.1\nz,0.1")
    expected = f"{root / 'calibration.csv'}: lists z, without a film of that name"
    assert open_dataset(root).remarks == (expected,)


def test_names_without_a_film_are_counted_where_film_names_identify_patients(
    tmp_path: Path,
) -> None:
    rows = "name,x\nMueller,1\nDoe^Jane,2\n"
    root = folder(tmp_path, *ABC, parts=rows, calibration="name,mm_per_pixel\nMueller-old,0.1")
    dicom_film(root / "images" / "Mueller.dcm", PatientName="Mueller^Hans")
    found = [*open_dataset(root).remarks]
    assert found == [
        "parts.csv: lists 1 name without a film",
        "calibration.csv: lists 1 name without a film",
    ]
