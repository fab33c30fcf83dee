"""Projects of Label Studio, in JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from boneseg.dataset.open import open_dataset
from boneseg.errors import DatasetError, MaskError
from boneseg.masks.formats.label_studio import (
    _OTHERS,
    _WORDS,
    film_name,
    packed,
    read_document,
    unpacked,
)
from tests.support.annotations import (
    HOLE,
    bitmask,
    drawn,
    labelled_apart,
    only_mask,
    polygon_result,
    square,
    task,
)
from tests.support.polygons import painted
from tests.support.readings import MASK, card, picture, reading, written
from tests.support.regions import HEIGHT, SQUARE, WIDTH, label_studio_region, mask_of, rectangle


@pytest.mark.parametrize("kind", sorted(_OTHERS))
def test_other_regions_of_label_studio_are_named(kind: str, tmp_path: Path) -> None:
    with pytest.raises(MaskError, match=f"holds {_OTHERS[kind]} labelled bone"):
        mask_of(tmp_path, "project.json", label_studio_region(kind))


@pytest.mark.parametrize("kind", sorted(_WORDS - {"labels"}))
def test_what_label_studio_says_of_a_film_draws_nothing(kind: str, tmp_path: Path) -> None:
    document = label_studio_region("polygon")
    said = {"type": kind, "value": {kind: ["left"]}, "from_name": "side"}
    document[0]["annotations"][0]["result"].append(said)
    assert np.array_equal(mask_of(tmp_path, "project.json", document), rectangle())


def test_label_studio_places_beyond_the_film_are_in_pixels(tmp_path: Path) -> None:
    wide = [[x * WIDTH / 100, y * HEIGHT / 100] for x, y in ((10, 10), (300, 10), (300, 400))]
    with pytest.raises(MaskError, match="outside 0 to 100"):
        painted(tmp_path, "label-studio", wide)


def test_a_rotated_film_of_label_studio_is_named(tmp_path: Path) -> None:
    document = label_studio_region("polygon")
    document[0]["annotations"][0]["result"][0]["image_rotation"] = 90
    with pytest.raises(MaskError, match=r"project.json: knee.png: is drawn on a rotated film"):
        mask_of(tmp_path, "project.json", document)


@pytest.mark.parametrize(
    "places",
    [
        ({"to_name": "front"}, {"to_name": "side"}),
        ({"item_index": 0}, {"item_index": 1}),
        ({"item_index": 1}, {"item_index": 1}),  # not the image that the task is named after
    ],
)
def test_a_task_of_several_images_is_refused(places: tuple[Any, ...], tmp_path: Path) -> None:
    regions = [polygon_result(SQUARE) | place for place in places]
    root = drawn(tmp_path, "project.json", [task(*regions)])
    line = r"project.json: .*knee.png: has regions on several images of one task; export one image"
    with pytest.raises(MaskError, match=line):
        only_mask(root)


def test_regions_and_remarks_of_one_image_are_one_film(tmp_path: Path) -> None:
    place = {"to_name": "image", "item_index": 0}
    remark = {"type": "choices", "value": {"choices": ["sure"]}, "to_name": "text"}
    regions = [polygon_result(SQUARE) | place, polygon_result(HOLE, "hole") | place, remark]
    found = only_mask(drawn(tmp_path, "project.json", [task(*regions)]))
    assert np.array_equal(found, square(True))


def test_brush_masks_with_single_words_are_read() -> None:
    """What Label Studio itself may write: two words in a row, one by one; then a repetition."""
    bits = f"{8:032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    bits += "0" + "00" + f"{1:03b}" + f"{1:08b}{2:08b}" + "1" + "01" + f"{5:04b}" + f"{255:08b}"
    bits += "0" * (-len(bits) % 8)
    data = [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]
    assert unpacked(data, 8).tolist() == [1, 2, *[255] * 6]


@pytest.mark.parametrize(
    "image",
    [
        "/data/upload/1/ab12cd34-knee.png",
        "/data/local-files/?d=films/knee.png",
        "s3://bucket/films/knee.png",
        "http://host/x/knee.png?token=1",
    ],
)
def test_label_studio_polygons_by_any_address(image: str, tmp_path: Path) -> None:
    done = task(polygon_result(SQUARE), polygon_result(HOLE, "hole"), image=image)
    root = drawn(tmp_path, "project.json", [done])
    assert np.array_equal(only_mask(root), square(hole=True))


@pytest.mark.parametrize(
    "data",
    [
        {"patient": "A1", "image": "/data/upload/1/ab12cd34-knee.png"},
        {"patient": "A1", "film": "s3://bucket/knee.png"},
        {"thumbnail": "small.png", "image": "knee"},
    ],
)
def test_label_studio_films_may_follow_other_columns(data: Any, tmp_path: Path) -> None:
    root = drawn(tmp_path, "project.json", [task(polygon_result(SQUARE)) | {"data": data}])
    assert np.array_equal(only_mask(root), square())


def test_label_studio_regions_are_joined_to_their_labels(tmp_path: Path) -> None:
    points = polygon_result(SQUARE)["value"]["points"]
    hole = packed(square() & ~square(hole=True))
    results = [
        *labelled_apart("polygon", "bone", points=points),
        *labelled_apart("brush", "hole", format="rle", rle=hole),
    ]
    root = drawn(tmp_path, "project.json", [task(*results)])
    assert np.array_equal(only_mask(root), square(hole=True))
    assert np.array_equal(only_mask(root, labels=["bone"]), square(hole=True))


def test_label_studio_bitmasks_are_what_is_not_transparent(tmp_path: Path) -> None:
    one = labelled_apart("bitmask", "bone", imageDataURL=bitmask(MASK))
    assert np.array_equal(only_mask(drawn(tmp_path / "a", "p.json", [task(*one)])), MASK)
    value = {"imageDataURL": bitmask(MASK), "bitmasklabels": ["bone"]}
    (own, *_) = labelled_apart("bitmasklabels", "bone", **value)
    assert np.array_equal(only_mask(drawn(tmp_path / "b", "p.json", [task(own)])), MASK)
    (small, *_) = labelled_apart("bitmasklabels", "bone", imageDataURL=bitmask(MASK[1:]))
    with pytest.raises(MaskError, match="a bitmask labelled unlabelled is damaged"):
        only_mask(drawn(tmp_path / "c", "p.json", [task(small)]), labels=["unlabelled"])


@pytest.mark.parametrize(
    ("kind", "told"), [("rectangle", "a box"), ("vector", "a line"), ("spline", "a spline")]
)
def test_label_studio_regions_that_cannot_be_painted_are_refused(
    kind: str, told: str, tmp_path: Path
) -> None:
    results = [polygon_result(SQUARE), *labelled_apart(kind, "femur", x=1, y=1)]
    root = drawn(tmp_path, "project.json", [task(*results)])
    with pytest.raises(MaskError, match=f"holds {told} labelled femur, which does not follow"):
        only_mask(root)
    assert np.array_equal(only_mask(root, labels=["bone"]), square())


def test_label_studio_tasks_without_one_clear_annotation(tmp_path: Path) -> None:
    open_task = {"data": {"image": "hip.png"}, "predictions": [{"result": []}]}
    done = task(polygon_result(SQUARE))
    root = drawn(tmp_path / "a", "project.json", [done, open_task], "knee.png", "hip.png")
    assert [path.name for path in open_dataset(root).unpaired_images] == ["hip.png"]
    with pytest.raises(DatasetError, match="no task has an annotation"):
        open_dataset(drawn(tmp_path / "b", "project.json", [open_task], "hip.png"))
    two = done | {"annotations": done["annotations"] * 2}
    with pytest.raises(MaskError, match=r"ab12cd34-knee.png: holds 2 annotations of this film"):
        only_mask(drawn(tmp_path / "c", "project.json", [two]))


def test_label_studio_is_given_predictions_of_a_model_and_annotations_of_a_person(
    tmp_path: Path,
) -> None:
    film = picture(tmp_path / "knee.png")
    (task,) = json.loads(written("label-studio", reading(film, MASK, card()), tmp_path).read_text())
    assert task["predictions"][0]["model_version"] == "boneseg abababababab"
    assert "annotations" not in task
    (task,) = json.loads(written("label-studio", reading(film, MASK), tmp_path).read_text())
    assert task["data"]["image"].endswith("?d=knee.png")
    ((result,),) = (one["result"] for one in task["annotations"])
    brush = {"format": "rle", "rle": packed(MASK), "brushlabels": ["bone"]}
    assert result == {
        "id": "bone",
        "type": "brushlabels",
        "from_name": "bones",
        "to_name": "image",
        "original_width": 80,
        "original_height": 60,
        "image_rotation": 0,
        "value": brush,
    }


def bits_of(packed: list[int]) -> str:
    return "".join(f"{one:08b}" for one in packed)


def test_brush_masks_are_packed_bit_by_bit() -> None:
    """As https://github.com/thi-ng/umbrella has it: a header, then runs of words."""
    head = f"{12:032b}" + f"{7:05b}" + f"{2:04b}{3:04b}{7:04b}{15:04b}"
    runs = "1" + "00" + f"{3:03b}" + "0" * 8 + "1" + "00" + f"{7:03b}" + "1" * 8
    found = bits_of(packed(np.array([[False, True, True]])))
    assert found.startswith(head + runs) and set(found[len(head + runs) :]) == {"0"}
    assert len(found) - len(head + runs) < 8


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 64, 65, 16_384, 16_385, 40_000])
def test_brush_masks_of_any_run_come_back(length: int) -> None:
    mask = np.zeros((2, length), bool)
    mask[1] = mask[0, 0] = True
    values = unpacked(packed(mask), 8 * length)
    assert np.array_equal(values.reshape(2, length, 4) == 255, np.repeat(mask[..., None], 4, 2))
    for wrong in (8 * length - 1, 8 * length + 1):
        with pytest.raises(ValueError, match="not as many as the film has"):
            unpacked(packed(mask), wrong)
    with pytest.raises(ValueError, match="truncated"):
        unpacked(packed(mask)[:-2], 8 * length)


@pytest.mark.parametrize("title", ["knee.png", "left hip 20%.png", "a?b&c=d.png", "Hüfte/1.png"])
def test_a_title_is_the_address_of_a_local_file(title: str, tmp_path: Path) -> None:
    one = replace(reading(picture(tmp_path / "knee.png"), MASK), called=title)
    path = written("label-studio", one, tmp_path)
    (task,) = json.loads(path.read_text())
    assert task["data"]["image"] == "/data/local-files/?d=" + quote(title)
    assert list(read_document(path)) == [title]
    assert film_name(task) == PurePosixPath(title).name
