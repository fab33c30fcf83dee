"""Films and masks are paired by name, never by order."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boneseg.dataset.load import fingerprint, read_films
from boneseg.dataset.open import open_dataset, survey_dataset
from boneseg.errors import DatasetError, UsageError
from boneseg.evaluation.evaluate import evaluate_masks
from boneseg.evaluation.tables import write_cases_csv
from tests.support.datasets import folder, paired


@pytest.mark.parametrize(("films", "masks"), [("images", "masks"), ("all_images", "labels")])
def test_both_layouts_are_known(films: str, masks: str, tmp_path: Path) -> None:
    folder(tmp_path, f"{films}/a.png", f"{masks}/a.png", f"{films}/b.jpg", f"{masks}/b.png")
    dataset = open_dataset(tmp_path)
    assert [case.name for case in dataset.cases] == ["a", "b"]
    assert dataset.root == tmp_path


def test_two_folders_of_any_name_will_do(tmp_path: Path) -> None:
    folder(tmp_path, "x/a.png", "y/a.tif")
    dataset = open_dataset(None, images=tmp_path / "x", masks=tmp_path / "y")
    assert paired(dataset) == {"a.png": "a.tif"}


def test_one_named_folder_takes_the_place_of_its_half(tmp_path: Path) -> None:
    folder(tmp_path, "images/a.png", "masks/a.png", "other/a.bmp")
    assert paired(open_dataset(tmp_path, masks=tmp_path / "other")) == {"a.png": "a.bmp"}


def test_one_folder_may_hold_films_and_masks(tmp_path: Path) -> None:
    folder(tmp_path, "a.png", "a_mask.png", "b.png", "b_mask.png")
    dataset = open_dataset(None, images=tmp_path, masks=tmp_path)
    assert paired(dataset) == {"a.png": "a_mask.png", "b.png": "b_mask.png"}


def test_dicom_is_known_by_its_suffix_or_by_its_content(tmp_path: Path) -> None:
    folder(tmp_path, "images/a.dcm", "masks/a.png", "masks/1.2.840.1.png", "images/notes.txt")
    (tmp_path / "images" / "1.2.840.1").write_bytes(bytes(128) + b"DICM" + bytes(20))
    folder(tmp_path, "images/.hidden.png", "masks/Thumbs.db")
    dataset = open_dataset(tmp_path)
    assert paired(dataset) == {"a.dcm": "a.png", "1.2.840.1": "1.2.840.1.png"}
    assert dataset.unpaired_images == dataset.unpaired_masks == ()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), "neither films nor masks"),
        (("images/a.png",), "only images/"),
        (("images/a.txt", "masks/a.png"), "holds no film"),
        (("images/a.png", "masks/a.txt"), "holds no mask"),
    ],
)
def test_half_a_dataset_is_refused_in_one_line(
    names: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=words) as caught:
        open_dataset(folder(tmp_path, *names))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_masks_of_all_bone_are_no_masks_of_named_bones(tmp_path: Path) -> None:
    folder(tmp_path, "images/a.png", "masks/a.png")
    with pytest.raises(DatasetError, match=r"masks: holds no masks of named bones; .* a_bones"):
        open_dataset(tmp_path, named=True)


def test_a_survey_lists_all_faults_where_opening_ends_at_the_first(tmp_path: Path) -> None:
    folder(tmp_path, *(f"{place}/{name}.png" for place in ("images", "masks") for name in "ab"))
    folder(tmp_path, "masks/a_mask.png", "masks/b_mask.png")
    found = survey_dataset(tmp_path)
    assert found.cases == ()
    assert [path.stem for path in found.unclear] == ["a", "b"]
    assert found.films == 2
    told = " ".join(found.faults)
    assert all(f"{name}.png and {name}_mask.png both match it" in told for name in "ab")
    with pytest.raises(DatasetError, match=r"a\.png.*\(and 1 other fault; see boneseg check\)"):
        open_dataset(tmp_path)


def test_a_missing_folder_and_a_missing_argument_have_different_messages(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        open_dataset(tmp_path / "missing")
    with pytest.raises(UsageError, match="or both"):
        open_dataset(None, images=tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_an_undecodable_name_is_a_name(tmp_path: Path) -> None:
    """From an old archive: `hüfte` in Latin-1."""
    name = os.fsdecode(b"h\xfcfte.png")
    for place in ("images", "masks"):
        (tmp_path / place).mkdir()
        Image.fromarray(np.eye(64, dtype=np.uint8) * 255).save(tmp_path / "film.png")
        (tmp_path / "film.png").rename(tmp_path / place / name)
    dataset = open_dataset(tmp_path)
    assert len(fingerprint(read_films(dataset.cases))) == 64
    scored = evaluate_masks(dataset, tmp_path / "masks")
    assert scored.summary.mean["dice"] == 1
    write_cases_csv(scored.summary, tmp_path / "cases.csv")
    assert "h\\udcfcfte,1.0" in (tmp_path / "cases.csv").read_text(encoding="utf-8")
