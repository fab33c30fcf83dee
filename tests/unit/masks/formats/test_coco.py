"""COCO: polygons, run lengths, and the films that they belong to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from pycocotools import mask as coco
from pycocotools.coco import COCO

from boneseg.dataset.audit import check_dataset
from boneseg.dataset.open import open_dataset
from boneseg.errors import MaskError
from boneseg.masks.formats.coco import _categories as categories
from boneseg.masks.formats.coco import unpacked as coco_unpacked
from boneseg.masks.formats.label_studio import packed, unpacked
from boneseg.masks.terminology import CONCEPTS
from tests.support.annotations import FRAME, coco_document, drawn, masks, only_mask, square
from tests.support.command_line import boneseg
from tests.support.polygons import coco_polygons, film, flat
from tests.support.readings import MASK, picture, reading, written
from tests.support.regions import (
    HEIGHT,
    SHAPE,
    SQUARE,
    WIDTH,
    Mask,
    label_studio_region,
    mask_of,
    rectangle,
)


@pytest.mark.parametrize("numbers", [(1, 1.0), (1.0, 1), ("1", 1), (1, "1"), ("a ", "a")])
def test_the_type_of_an_id_of_coco_does_not_matter(numbers: Any, tmp_path: Path) -> None:
    document = coco_polygons(SQUARE)
    document["images"][0]["id"], document["annotations"][0]["image_id"] = numbers
    document["categories"] = [{"id": "1", "name": "bone"}, {"id": 2}, "femur", None]
    found = mask_of(tmp_path, "all.json", document, labels=["bone"])
    assert np.array_equal(found, rectangle())


@pytest.mark.parametrize("size", [[WIDTH, HEIGHT], [HEIGHT + 1, WIDTH]])
def test_run_lengths_of_another_size_say_so(size: list[int], tmp_path: Path) -> None:
    document = coco_polygons(SQUARE)
    counts = [0, size[0] * size[1]]
    document["annotations"][0]["segmentation"] = {"size": size, "counts": counts}
    with pytest.raises(MaskError, match=f"mask is {size[0]} x {size[1]} pixels but its film"):
        mask_of(tmp_path, "all.json", document)


@pytest.mark.parametrize("side", ["height", "width"])
def test_polygons_of_a_film_of_another_size_are_refused(side: str, tmp_path: Path) -> None:
    document = coco_polygons(SQUARE)
    document["images"][0] |= {"height": HEIGHT, "width": WIDTH}
    assert np.array_equal(mask_of(tmp_path / "a", "all.json", document), rectangle())
    document["images"][0][side] += 1
    with pytest.raises(MaskError, match="pixels but its film"):
        mask_of(tmp_path / "b", "all.json", document)


def test_parts_of_a_file_that_belong_to_no_film_are_named(tmp_path: Path) -> None:
    document = coco_polygons(SQUARE)
    document["annotations"] += [{"image_id": 9}, {"category_id": 1}, "x", {"image_id": [1]}]
    document["images"] += [{"id": 5}, "y", {"file_name": "z.png"}]
    picture(tmp_path / "images" / "knee.png")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "all.json").write_text(json.dumps(document))
    dataset = open_dataset(tmp_path)
    (case,) = dataset.cases
    assert np.array_equal(case.read_mask(SHAPE), rectangle())
    assert any("annotates image 9, which is not listed" in fault for fault in dataset.faults)
    assert any("an image without id or file_name" in fault for fault in dataset.faults)
    tasks = [*label_studio_region("polygon"), "x", {"data": {}}, {"data": 3}, {"annotations": 1}]
    (tmp_path / "masks" / "all.json").write_text(json.dumps(tasks))
    dataset = open_dataset(tmp_path)
    assert np.array_equal(dataset.cases[0].read_mask(SHAPE), rectangle())
    assert [fault.split(": ")[1].split(" names")[0] for fault in dataset.faults] == [
        *("task 2", "task 3", "task 4", "task 5")
    ]


def test_images_of_one_id_are_ambiguous(tmp_path: Path) -> None:
    document = coco_polygons(SQUARE)
    document["images"].append(document["images"][0] | {"file_name": "hip.png"})
    document["images"].append(document["images"][0] | {"id": 2, "file_name": "foot.png"})
    for name in ("knee.png", "hip.png", "foot.png"):
        film(tmp_path / "images" / name)
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "all.json").write_text(json.dumps(document))
    foot, hip, knee = open_dataset(tmp_path).cases
    assert not foot.read_mask(SHAPE).any()
    for case, name in ((hip, "hip.png"), (knee, "knee.png")):
        with pytest.raises(MaskError, match=f"{name}: shares its id with another image"):
            case.read_mask(SHAPE)


@given(masks)
def test_run_lengths_are_those_of_their_own_libraries(mask: Mask) -> None:
    counts = coco.encode(np.asfortranarray(mask, np.uint8))["counts"]
    values = np.repeat(np.arange(len(coco_unpacked(counts))) % 2 == 1, coco_unpacked(counts))
    assert np.array_equal(values.reshape(mask.shape, order="F"), mask)
    brushed = unpacked(packed(mask), 4 * mask.size).reshape(*mask.shape, 4)
    assert np.array_equal(brushed, np.repeat(mask[..., None], 4, axis=-1) * 255)


def test_a_packed_number_is_no_longer_than_films_need() -> None:
    """Each letter adds 5 bits: endless ones would make a number of any size."""
    assert coco_unpacked("P" * 6 + "1") == [1 << 30]
    with pytest.raises(ValueError, match="invalid COCO run lengths"):
        coco_unpacked("P" * 7 + "1")


def test_coco_polygons_and_both_kinds_of_run_lengths(tmp_path: Path) -> None:
    runs = coco.encode(np.asfortranarray(square(True), np.uint8))
    text = {"size": list(FRAME), "counts": runs["counts"].decode()}
    numbers = {"size": list(FRAME), "counts": coco_unpacked(runs["counts"])}
    for number, segmentation in enumerate((text, numbers, [flat(SQUARE)])):
        one = {"image_id": 7, "category_id": 3, "segmentation": segmentation}
        root = drawn(tmp_path / str(number), "instances.json", coco_document(one))
        assert np.array_equal(only_mask(root), square(hole=number < 2))
        assert np.array_equal(only_mask(root, labels=["femur"]), square(hole=number < 2))


def test_coco_may_list_missing_films(tmp_path: Path) -> None:
    one = {"image_id": 7, "category_id": 3, "segmentation": [flat(SQUARE)]}
    document = coco_document(one, films=("train/knee.png", "gone.png"))
    root = drawn(tmp_path, "instances.json", document, "knee.png", "hip.png")
    found = open_dataset(root)
    assert [case.name for case in found.cases] == ["knee"]
    assert [path.name for path in found.unpaired_masks] == ["gone.png"]
    assert [path.name for path in found.unpaired_images] == ["hip.png"]
    details = " ".join(problem.detail for problem in check_dataset(found).problems)
    assert "gone.png: has no film" in details


def test_coco_without_any_of_the_films_is_reported(tmp_path: Path) -> None:
    root = drawn(tmp_path, "instances.json", coco_document(films=("other.png",)))
    done = boneseg("check", root)
    assert done.returncode == 1
    assert "other.png: has no film" in done.stdout
    assert "no mask matches a film by name" in done.stdout


# --- annotation tools ---


@pytest.mark.parametrize("kind", ["coco", "coco-polygons"])
def test_pycocotools_finds_the_mask(kind: str, tmp_path: Path) -> None:
    one = reading(picture(tmp_path / "knee.png"), MASK)
    document = COCO(written(kind, one, tmp_path))
    (image,) = document.loadImgs(document.getImgIds())
    assert image == {"id": 1, "file_name": "knee.png", "width": 80, "height": 60}
    annotations = document.loadAnns(document.getAnnIds(imgIds=[1], iscrowd=0))
    assert len(annotations) == 4
    found = np.logical_or.reduce([document.annToMask(one) > 0 for one in annotations])
    if kind == "coco":
        assert np.array_equal(found, MASK)
        assert sum(one["area"] for one in annotations) == MASK.sum()
        for one in annotations:
            assert one["bbox"] == coco.toBbox(document.annToRLE(one)).tolist()
    else:  # pycocotools paints by a rule of its own
        assert (found != MASK).mean() < 0.01
    assert document.loadCats(1)[0]["name"] == "bone"


@pytest.mark.parametrize(
    "counts",
    [[7], [0, 7], [3, 1, 2], [15, 16, 17, 31, 32, 33, 1, 1], [1000, 1, 5, 40_000, 3, 2, 90_000]],
    ids=str,
)
def test_run_lengths_are_packed_as_pycocotools_does(counts: list[int]) -> None:
    size = [1, sum(counts)]
    text = coco.frPyObjects({"size": size, "counts": counts}, *size)["counts"]
    assert coco_unpacked(text) == coco_unpacked(text.decode()) == counts
    for wrong in (text[:-1] + b"P", text + b"p", text + b"/", text + b"\x7f"):
        with pytest.raises(ValueError, match="run lengths"):
            coco_unpacked(wrong)


def test_a_bone_has_the_same_number_in_every_document() -> None:
    assert categories({"bone"}) == {"bone": 1}
    named = categories({"femur"})
    assert list(named.items())[:2] == [("bone", 1), (next(iter(CONCEPTS)), 2)]
    assert named == categories({"bone", "toes"}) and len(named) == 1 + len(CONCEPTS)
    others = categories({"toes", "z", "a"})
    assert others == named | {"a": 2 + len(CONCEPTS), "z": 3 + len(CONCEPTS)}
