"""Every verb reads the masks of annotation tools."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from boneseg.dataset.convert import convert_dataset
from boneseg.dataset.load import read_films
from boneseg.dataset.open import open_dataset
from boneseg.evaluation.evaluate import evaluate_masks
from boneseg.masks.formats import FILM_FORMATS, FORMATS, READERS, FilmFormat, Reader, yolo
from boneseg.masks.formats.png import write_mask
from tests.support.annotations import (
    dataset,
)
from tests.support.command_line import boneseg
from tests.support.readings import MASK, picture

# --- the command line ---


def test_verbs_read_annotations(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data", *"abcd")
    done = boneseg("convert", root, "--to", "coco,nrrd,cvat", "--out", tmp_path / "x", "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results[0]["outputs"] == {
        "coco": "coco.json",
        "nrrd": "a.seg.nrrd",
        "cvat": "annotations.xml",
    }
    films, truth = ["--images", root / "images"], tmp_path / "x" / "coco.json"
    done = boneseg("check", *films, "--masks", truth, "--label", "bone", "--json")
    assert json.loads(done.stdout)["bone_share"]["median"] == pytest.approx(MASK.mean())
    predicted = tmp_path / "x" / "annotations.xml"
    done = boneseg("evaluate", *films, "--truth", truth, "--masks", predicted, "--json")
    assert json.loads(done.stdout)["mean"]["dice"] == 1
    words = ["--recipe", "fast", "--epochs", "1", "--label", "patella"]
    done = boneseg("train", *films, "--masks", truth, "--out", tmp_path / "run", *words)
    assert done.returncode == 2
    assert "--label patella: is in no mask; available: bone" in done.stderr


def test_training_reads_the_masks_of_annotations(tmp_path: Path) -> None:

    root = dataset(tmp_path / "data", "a", "b")
    convert_dataset(open_dataset(root), tmp_path / "x", ["label-studio"])
    other = open_dataset(None, images=root / "images", masks=tmp_path / "x", labels=["bone"])
    assert all(np.array_equal(film.mask, MASK) for film in read_films(other.cases))


def test_a_format_with_a_suffix_of_two_parts_is_written_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = FilmFormat("runs", ".runs.json", yolo.write)
    for registry in (FORMATS, FILM_FORMATS):
        monkeypatch.setitem(registry, "runs", runs)
    monkeypatch.setitem(READERS, ".runs.json", Reader("runs", yolo.drawings))
    data = open_dataset(dataset(tmp_path / "data", "knee", "hip.left"))
    convert_dataset(data, tmp_path / "x", ["runs"])
    assert (tmp_path / "x" / "hip.left.runs.json").is_file()
    found = evaluate_masks(data, tmp_path / "x")
    assert found.summary.mean["dice"] == 1
    assert not found.failures


def test_predictions_may_be_one_file(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data", "a", "b")
    convert_dataset(open_dataset(root), tmp_path / "x", ["coco"])
    found = evaluate_masks(open_dataset(root), tmp_path / "x" / "coco.json")
    assert found.summary.mean["dice"] == 1
    assert not found.failures
    picture(root / "images" / "c.png")
    write_mask(root / "masks" / "c.png", MASK)
    (failure,) = evaluate_masks(open_dataset(root), tmp_path / "x" / "coco.json").failures
    assert "coco.json: has no mask for c; predict this film, too" in failure.reason
