"""A region is painted, or an error names its film; other films are not affected."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from boneseg.dataset.audit import check_dataset
from boneseg.dataset.convert import convert_dataset
from boneseg.dataset.load import read_films
from boneseg.dataset.open import Dataset, open_dataset
from boneseg.errors import BonesegError, DatasetError
from boneseg.evaluation.evaluate import evaluate_masks
from boneseg.masks.formats.png import write_mask
from boneseg.masks.read import read_mask
from tests.support.polygons import (
    coco_polygons,
    cvat_polygons,
    film,
    label_studio_polygons,
    labelme_polygons,
    yolo_polygons,
)
from tests.support.readings import picture
from tests.support.regions import (
    SQUARE,
    mask_of,
    rectangle,
)

FILMS = ("a", "b", "c")


def one_bad(root: Path, kind: str) -> Path:
    """Three films with masks of one tool, of which that of b has a polygon of two points."""
    line = [[10, 10], [20, 20]]
    for name in FILMS:
        film(root / "images" / f"{name}.png")
    masks = root / "masks"
    masks.mkdir()
    rings = {name: line if name == "b" else SQUARE for name in FILMS}
    if kind in ("labelme", "empty labelme", "yolo"):
        for name, ring in rings.items():
            text = yolo_polygons(ring) if kind == "yolo" else json.dumps(labelme_polygons(ring))
            path = masks / f"{name}.{'txt' if kind == 'yolo' else 'json'}"
            path.write_text("" if kind == "empty labelme" and name == "b" else text)
    elif kind == "coco":
        documents = [coco_polygons(ring) for ring in rings.values()]
        for number, (name, one) in enumerate(zip(FILMS, documents, strict=True)):
            one["images"][0] |= {"id": number, "file_name": f"{name}.png"}
            one["annotations"][0]["image_id"] = number
        joined = {
            key: [part for one in documents for part in one[key]]
            for key in ("images", "annotations")
        }
        (masks / "instances.json").write_text(json.dumps(joined))
    elif kind == "cvat":
        parts = [
            cvat_polygons(ring).replace("knee.png", f"{name}.png") for name, ring in rings.items()
        ]
        images = "".join(
            part.removeprefix("<annotations>").removesuffix("</annotations>") for part in parts
        )
        (masks / "annotations.xml").write_text(f"<annotations>{images}</annotations>")
    elif kind == "label-studio":
        tasks = [
            label_studio_polygons(ring)[0] | {"data": {"image": f"{n}.png"}}
            for n, ring in rings.items()
        ]
        (masks / "project.json").write_text(json.dumps(tasks))
    elif kind == "png":
        for name in FILMS:
            write_mask(masks / f"{name}.png", rectangle())
        (masks / "b.png").write_bytes(b"cut")
    elif kind == "two masks":
        for name in ("a.png", "b.png", "b_mask.png", "c.png"):
            write_mask(masks / name, rectangle())
    elif kind == "two films":
        film(root / "images" / "b.tif")
        for name in FILMS:
            write_mask(masks / f"{name}.png", rectangle())
    elif kind == "two lists":
        one_bad(root / "other", "coco")
        document = json.loads((root / "other" / "masks" / "instances.json").read_text())
        document["images"].append(document["images"][1] | {"id": 9})
        (masks / "instances.json").write_text(json.dumps(document))
    return root


BAD = (
    *("labelme", "empty labelme", "yolo", "coco", "cvat", "label-studio", "png"),
    *("two masks", "two films", "two lists"),
)


every_fault = pytest.mark.parametrize("kind", BAD)


def reason(dataset: Dataset) -> str:
    with pytest.raises(BonesegError) as caught:
        read_films(dataset.cases, faults=dataset.faults)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@every_fault
def test_a_fault_of_one_film_affects_no_other(kind: str, tmp_path: Path) -> None:
    dataset = open_dataset(one_bad(tmp_path / "data", kind))
    results = convert_dataset(dataset, tmp_path / "out", ["mask"])
    (error,) = [result.error for result in results if result.error]
    for name in ("a", "c"):
        assert np.array_equal(read_mask(tmp_path / "out" / f"{name}_mask.png"), rectangle())
    assert not (tmp_path / "out" / "b_mask.png").exists()
    assert "b." in error
    serious = [p.detail for p in check_dataset(dataset).problems if p.serious]
    assert serious == [error]
    write_mask(tmp_path / "out" / "b_mask.png", rectangle())
    evaluation = evaluate_masks(dataset, tmp_path / "out")
    assert [case.name for case in evaluation.summary.cases] == ["a", "c"]
    assert [failure.reason for failure in evaluation.failures] == [error]
    assert reason(dataset) == error


def test_the_command_line_names_the_film_and_does_the_others(tmp_path: Path) -> None:
    root = one_bad(tmp_path / "data", "coco")
    call = [sys.executable, "-c", "from boneseg.cli import main; main()"]
    words = ("convert", str(root), "--to", "png", "--out", str(tmp_path / "out"))
    done = subprocess.run([*call, *words], capture_output=True, text=True, check=False)
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert done.returncode == 1
    assert error.startswith(f"error: {root / 'masks' / 'instances.json'}: b.png: holds a polygon")


def test_training_names_every_film_that_it_cannot_read(tmp_path: Path) -> None:
    root = one_bad(tmp_path, "png")
    (root / "masks" / "c.png").write_bytes(b"cut")
    told = reason(open_dataset(root))
    assert told.startswith(f"{root / 'masks' / 'b.png'}: cannot be read as an image")
    assert "(2 errors in all, in b, c; see boneseg check)" in told


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("film.xml", "<annotations><track/></annotations>", "is a CVAT video export"),
        ("all.json", "{", "is damaged, or is not JSON"),
        ("all.json", "", "is damaged, or is not JSON"),
        ("all.json", "[" * 100_000, "is damaged, or is not JSON"),
        ("other.json", "{}", "is neither LabelMe JSON, nor COCO JSON, nor Label Studio JSON"),
        ("voc.xml", "<annotation/>", "is not CVAT for images"),
    ],
)
def test_the_first_reason_is_kept_where_no_mask_has_a_film(
    name: str, content: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=f"{name}: {told}"):
        mask_of(tmp_path / "a", name, content)
    if "neither" in told or "not CVAT" in told:
        return  # of no interest beside masks
    picture(tmp_path / "b" / "images" / "hip.png")
    (tmp_path / "b" / "masks").mkdir()
    write_mask(tmp_path / "b" / "masks" / "hip.png", rectangle())
    (tmp_path / "b" / "masks" / name).write_text(content)
    dataset = open_dataset(tmp_path / "b")
    assert len(dataset.cases) == len(dataset.faults) == 1
    assert told in dataset.faults[0]


def test_predictions_that_cannot_be_read_are_named_beside_those_that_can(tmp_path: Path) -> None:
    root = one_bad(tmp_path / "data", "two masks")
    (root / "masks" / "b_mask.png").unlink()
    predicted = tmp_path / "predicted"
    predicted.mkdir()
    for name in FILMS:
        write_mask(predicted / f"{name}.png", rectangle())
    (predicted / "all.json").write_text("{")
    evaluation = evaluate_masks(open_dataset(root), predicted)
    assert evaluation.summary.mean["dice"] == 1
    assert ["all.json: is damaged" in one.reason for one in evaluation.failures] == [True]
    with pytest.raises(DatasetError, match=r"all.json: is damaged, or is not JSON"):
        evaluate_masks(open_dataset(root), predicted / "all.json")
