"""A dataset is converted from one format of masks to others, and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from boneseg.dataset.audit import check_dataset
from boneseg.dataset.convert import convert_dataset
from boneseg.dataset.open import open_dataset
from boneseg.errors import DatasetError, UsageError
from boneseg.masks.formats.png import write_mask
from boneseg.masks.read import read_mask
from tests.support.annotations import (
    FRAME,
    READ,
    dataset,
)
from tests.support.command_line import boneseg
from tests.support.readings import MASK


@pytest.mark.parametrize("kind", [kind for kind in READ if kind != "dicom-seg"])
def test_a_dataset_is_converted_and_back(kind: str, tmp_path: Path) -> None:
    root = dataset(tmp_path / "data", "a", "b")
    assert not any(one.error for one in convert_dataset(open_dataset(root), tmp_path / "x", [kind]))
    other = open_dataset(None, images=root / "images", masks=tmp_path / "x")
    assert [case.name for case in other.cases] == ["a", "b"]
    assert check_dataset(other).bone_share == pytest.approx((MASK.mean(),) * 3)
    convert_dataset(other, tmp_path / "y", ["mask"])
    for name in ("a", "b"):
        assert np.array_equal(read_mask(tmp_path / "y" / f"{name}_mask.png"), MASK)


@pytest.mark.parametrize(
    "name",
    ["knee+left", "a&b", "a#b", "a%20b", "50%", "a;b", "q?", "ü", "d=e"],
)
@pytest.mark.parametrize("kind", ["label-studio", "coco"])
def test_films_of_any_name_are_converted_and_back(kind: str, name: str, tmp_path: Path) -> None:
    root = dataset(tmp_path / "data", name)
    convert_dataset(open_dataset(root), tmp_path / "x", [kind])
    other = open_dataset(None, images=root / "images", masks=tmp_path / "x")
    assert [case.name for case in other.cases] == [name]


def test_dicom_films_are_converted_and_back_whatever_the_files_are_called(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data", "a", "b", dicom=True)
    convert_dataset(open_dataset(root), tmp_path / "x", ["dicom-seg"])
    for number, path in enumerate(sorted((tmp_path / "x").iterdir())):
        path.rename(path.with_name(f"IM{number:04}"))  # as a PACS would name them
    other = open_dataset(None, images=root / "images", masks=tmp_path / "x")
    assert [case.name for case in other.cases] == ["a", "b"]
    assert all(np.array_equal(case.read_mask(FRAME), MASK) for case in other.cases)
    (tmp_path / "x" / "IM0000").rename(tmp_path / "x" / "b.dcm")
    (tmp_path / "x" / "IM0001").unlink()
    (root / "images" / "a.dcm").unlink()
    with pytest.raises(DatasetError, match="refers to a film other than"):
        open_dataset(None, images=root / "images", masks=tmp_path / "x")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--to", "jpeg"], "--to jpeg: unknown format; choose from mask"),
        (["--to", "probability"], "needs a model's probability"),
        (["--to", ","], "--to: no format given"),
        (["--to", "labelme", "--tolerance", "-1"], "--tolerance -1: give 0 or more"),
        (["--to", "labelme", "--label", "femur"], "is an image and has no labels"),
    ],
)
def test_invalid_arguments_of_convert(words: list[str], told: str, tmp_path: Path) -> None:
    done = boneseg("convert", dataset(tmp_path / "d", "a"), "--out", tmp_path / "x", *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert not (tmp_path / "x").exists()


def test_convert_continues_after_a_bad_mask_and_leaves_the_dataset_unchanged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = dataset(tmp_path / "d", "a", "b")
    write_mask(root / "masks" / "a.png", MASK[:50])
    results = convert_dataset(open_dataset(root), tmp_path / "x", ["labelme", "coco"])
    assert "50 x 80 pixels but its film is 60 x 80" in (results[0].error or "")
    written = {path.name for path in (tmp_path / "x").iterdir()}
    assert written == {"b.json", "coco.json", "convert.json"}
    with pytest.raises(UsageError, match="is a folder of the dataset"):
        convert_dataset(open_dataset(root), root / "masks", ["labelme"])


def test_convert_keeps_a_document_and_a_film_of_its_name_apart(tmp_path: Path) -> None:
    root = dataset(tmp_path / "d", "coco", "knee")
    convert_dataset(open_dataset(root), tmp_path / "x", ["labelme", "coco"])
    assert {path.name for path in (tmp_path / "x").iterdir()} == {
        *("coco.json", "coco-2.json", "knee.json", "convert.json")
    }
    assert read_mask(tmp_path / "x" / "coco.json", film="coco.png").sum() == MASK.sum()
