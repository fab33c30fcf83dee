"""Films of the same name from different folders, and the masks that the report lists for each."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from boneseg._util.files import write_json
from boneseg.dataset.open import Dataset, open_dataset
from boneseg.evaluation.bones import evaluate_named_masks
from boneseg.evaluation.evaluate import evaluate_masks
from boneseg.masks.formats.png import write_mask
from boneseg.masks.types import Mask
from boneseg.radiograph.provenance import film_key

SHAPE = (24, 20)


def half(site: str) -> Mask:
    """The bone of a site: the upper or the lower half of its film."""
    mask = np.zeros(SHAPE, bool)
    mask[slice(0, 12) if site == "siteA" else slice(12, 24)] = True
    return mask


def film_of(site: str, root: Path) -> Path:
    return root / site / "images" / "001.png"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two datasets of a film 001 each, segmented into one folder; siteA first."""
    (tmp_path / "out").mkdir()
    for site, stem in (("siteA", "001"), ("siteB", "001-2")):
        film = film_of(site, tmp_path)
        film.parent.mkdir(parents=True)
        Image.fromarray((half(site) * 200).astype(np.uint8)).save(film)
        for masks in (tmp_path / site / "masks" / "001", tmp_path / "out" / stem):
            bones = masks.with_name(f"{masks.name}_bones")
            bones.mkdir(parents=True)
            write_mask(bones / "femur.png", half(site))
            write_mask(masks.with_name(f"{masks.name}_mask.png"), half(site))
    report(tmp_path)
    return tmp_path


def entry(root: Path, site: str, stem: str, **facts: Any) -> dict[str, Any]:
    film = film_of(site, root)
    outputs = {"mask": f"{stem}_mask.png", "bones": f"{stem}_bones"}
    key = film_key(film, film, root / "out", None)
    return {"input": str(film), "outputs": outputs, "key": key, **facts}


def report(root: Path, **facts: Any) -> None:
    entries = [entry(root, "siteA", "001", **facts), entry(root, "siteB", "001-2", **facts)]
    write_json(root / "out" / "segment.json", entries)


def dice(dataset: Dataset, root: Path) -> float:
    evaluation = evaluate_masks(dataset, root / "out")
    assert evaluation.failures == ()
    return evaluation.summary.mean["dice"]


def data(root: Path, site: str, *, named: bool = False) -> Dataset:
    return open_dataset(root / site, named=named)


@pytest.mark.parametrize("site", ["siteA", "siteB"])
def test_each_film_is_scored_by_its_own_mask(site: str, root: Path) -> None:
    assert dice(data(root, site), root) == 1
    bones = evaluate_named_masks(data(root, site, named=True), root / "out")
    assert bones.failures == ()
    assert bones.summaries["femur"].mean["dice"] == 1


@pytest.mark.parametrize("frame", [None, 2])
def test_a_path_is_enough_without_a_key(frame: int | None, root: Path) -> None:
    report(root, key="moved", frame=frame)
    assert dice(data(root, "siteB"), root) == 1


def test_a_key_is_enough_without_a_path(root: Path) -> None:
    report(root, input="001.png")  # relative to another working directory
    assert dice(data(root, "siteB"), root) == 1


def test_a_relative_path_is_that_of_the_call(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(root / "out" / "segment.json", [entry(root, "siteA", "001", input="001.png")])
    monkeypatch.chdir(root / "siteB" / "images")
    assert dice(data(root, "siteB"), root) == 0  # nobody knows which film 001.png was


def test_a_film_whose_mask_is_missing_fails(root: Path) -> None:
    third = film_of("siteC", root)
    third.parent.mkdir(parents=True)
    Image.new("L", SHAPE[::-1], 7).save(third)
    entries = [entry(root, "siteA", "001"), entry(root, "siteC", "001-2")]
    write_json(root / "out" / "segment.json", entries)
    (failure,) = evaluate_masks(data(root, "siteB"), root / "out").failures
    assert "001_mask.png is the mask of another film of that name" in failure.reason
    (failure,) = evaluate_named_masks(data(root, "siteB", named=True), root / "out").failures
    assert "001_bones is the mask of another film of that name" in failure.reason


def test_of_a_film_that_was_saved_anew_elsewhere_the_name_decides(root: Path) -> None:
    write_json(root / "out" / "segment.json", [entry(root, "siteA", "001")])
    again = root / "again"
    shutil.copytree(root / "siteA", again)
    Image.open(film_of("siteA", root)).convert("RGB").save(again / "images" / "001.png")
    assert dice(open_dataset(again), root) == 1


def test_a_copy_of_the_film_keeps_its_mask(root: Path) -> None:
    shutil.copytree(root / "siteA", root / "copy")
    assert dice(data(root, "copy"), root) == 1


def test_where_the_films_are_gone_the_name_decides(root: Path) -> None:
    (root / "siteA").rename(root / "moved")
    shutil.rmtree(root / "siteB")
    assert dice(data(root, "moved"), root) == 1


def test_a_mask_that_is_in_no_report_goes_by_its_name(root: Path) -> None:
    (root / "out" / "001_mask.png").rename(root / "out" / "001.png")
    assert dice(data(root, "siteA"), root) == 1
