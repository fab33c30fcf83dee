"""Bones are scored by name, each on the films on which it is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boneseg.dataset.open import open_dataset
from boneseg.errors import DatasetError
from boneseg.evaluation.bones import evaluate_named_masks, evaluate_naming, write_bones_csv
from boneseg.masks.formats.png import write_mask
from boneseg.masks.types import Mask
from tests.support.readings import picture

SHAPE = (60, 80)


def rows(first: int, last: int) -> Mask:
    mask = np.zeros(SHAPE, bool)
    mask[first:last] = True
    return mask


def draw(folder: Path, film: str, **bones: Mask) -> None:
    (folder / f"{film}_bones").mkdir(parents=True)
    for name, mask in bones.items():
        write_mask(folder / f"{film}_bones" / f"{name}.png", mask)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two films: of one femur and tibia are drawn, of the other the femur alone."""
    for name in ("a", "b"):
        picture(tmp_path / "images" / f"{name}.png")
    draw(tmp_path / "masks", "a", femur=rows(0, 20), tibia=rows(20, 40))
    draw(tmp_path / "masks", "b", femur=rows(0, 20))
    return tmp_path


def test_each_bone_is_scored_where_it_is_drawn(data: Path, tmp_path: Path) -> None:
    draw(tmp_path / "found", "a", femur=rows(0, 10), tibia=rows(20, 40), bone=rows(50, 55))
    draw(tmp_path / "found", "b", femur=rows(0, 40), tibia=rows(40, 60), ribs=rows(0, 5))
    found = evaluate_named_masks(open_dataset(data, named=True), tmp_path / "found")
    assert not found.failures
    femur, tibia = found.summaries["femur"], found.summaries["tibia"]
    assert list(found.summaries) == ["femur", "tibia"]
    assert femur.mean == {"recall": 0.75, "precision": 0.75, "dice": pytest.approx(2 / 3)}
    assert (femur.films, tibia.films, tibia.others) == (2, 1, 1)
    assert tibia.mean["dice"] == 1 and tibia.ci95["dice"] == (1, 1)
    assert "found on 1 other" in found.table()
    assert found.table().splitlines()[0] == "2 of 2 films"
    write_bones_csv(found, tmp_path / "bones.csv")
    assert (tmp_path / "bones.csv").read_text().splitlines()[1] == "a,femur,0.5,1.0," + str(2 / 3)


def test_a_bone_that_is_not_found_scores_0(data: Path) -> None:
    found = evaluate_naming(open_dataset(data, named=True), lambda _: {"tibia": rows(20, 40)})
    assert found.summaries["femur"].mean == dict.fromkeys(("recall", "precision", "dice"), 0.0)
    assert found.summaries["femur"].missed == 2
    document = found.to_json()
    assert document["bones"]["femur"]["missed"] == 2  # type: ignore[index, call-overload]
    assert document["cases"][1]["not_drawn"] == ["tibia"]  # type: ignore[index, call-overload]


def test_films_that_cannot_be_scored_are_named_and_the_others_scored(
    data: Path, tmp_path: Path
) -> None:
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(data / "masks" / "b_bones" / "femur.png")
    draw(tmp_path / "found", "b", femur=rows(0, 20))
    found = evaluate_named_masks(open_dataset(data, named=True), tmp_path / "found")
    assert [failure.name for failure in found.failures] == ["a", "b"]
    assert "segment it with --bones" in found.failures[0].reason
    assert "5 x 5 pixels but its film is 60 x 80" in found.failures[1].reason
    assert found.table() == "no film could be scored; all 2 failed"


def test_films_without_named_bones_are_counted(data: Path) -> None:
    picture(data / "images" / "c.png")
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(data / "masks" / "b_bones" / "femur.png")
    found = evaluate_naming(open_dataset(data, named=True), lambda _: {"femur": rows(0, 20)})
    heading = "1 of 3 films; 1 failed; 1 without masks of named bones"
    assert found.table().splitlines()[0] == heading


def test_pictures_of_all_bone_have_no_names(data: Path) -> None:
    for folder in (data / "masks").iterdir():
        write_mask(data / "masks" / f"{folder.name[0]}.png", rows(0, 9))
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    assert len(open_dataset(data).cases) == 2
    with pytest.raises(DatasetError, match="holds no mask"):
        open_dataset(data, named=True)


def test_folders_of_bones_do_not_stand_in_the_way_of_masks_of_all_bone(data: Path) -> None:
    write_mask(data / "masks" / "a_mask.png", rows(0, 9))
    assert [case.mask.name for case in open_dataset(data).cases] == ["a_mask.png"]
