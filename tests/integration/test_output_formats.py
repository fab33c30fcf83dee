"""Every output format, opened by its own library."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from boneseg.cli.common import FORMAT_NAMES
from boneseg.masks.formats import FILM_FORMATS, FORMATS
from boneseg.masks.output import unique_stems, write_outputs
from boneseg.masks.read import read_mask
from boneseg.simulate import simulate
from tests.support.command_line import boneseg
from tests.support.readings import MASK, dicom_film, picture, reading


def test_the_help_names_every_format() -> None:
    assert FORMAT_NAMES.split(", ") == list(FORMATS)


# --- the command line ---


def test_segment_writes_every_format_and_all_say_the_same(tmp_path: Path) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    simulate(films, 1, seed=3, size=(96, 80))
    dicom_film(films / "images" / "hip.dcm", 96, 80, ImagerPixelSpacing=[0.2, 0.2])
    kinds = [kind for kind in FORMATS if not kind.startswith("dicom-seg")]
    done = boneseg("segment", films / "images", "--out", out, "--format", ",".join(kinds))
    assert done.returncode == 0, done.stderr
    results = json.loads((out / "segment.json").read_text())
    assert [list(result["outputs"]) for result in results] == [sorted(kinds, key=order)] * 2
    assert {path.name for path in out.iterdir()} == {
        "segment.json",
        *(name for result in results for name in result["outputs"].values()),
    }
    for result in results:
        mask = read_mask(out / result["outputs"]["mask"])
        assert mask.sum() == result["area_px"]
        spacing = "detector" if "hip" in result["input"] else "unknown"
        assert (result["spacing"], result["area_mm2"] is None) == (spacing, spacing == "unknown")
        for kind in ("nrrd", "nifti", "labelme", "yolo"):
            assert np.array_equal(read_mask(out / result["outputs"][kind], mask.shape), mask)
        film = Path(result["input"]).name
        for kind in ("coco", "coco-polygons", "cvat"):
            found = read_mask(out / result["outputs"][kind], mask.shape, film=film)
            assert np.array_equal(found, mask)


def order(kind: str) -> bool:
    """Files come before documents."""
    return bool(FORMATS[kind].document)


def test_a_film_without_dicom_lacks_the_dicom_outputs_alone(tmp_path: Path) -> None:
    knee, hip = picture(tmp_path / "knee.png"), dicom_film(tmp_path / "hip.dcm")
    words = ["--out", tmp_path / "out", "--format", "mask,coco,dicom-seg"]
    done = boneseg("segment", knee, hip, *words)
    assert done.returncode == 0
    (line,) = [line for line in done.stderr.splitlines() if "skipped" in line]
    assert line.startswith(f"warning: {knee}: ")
    assert "dicom-seg is skipped: is not a DICOM film" in line
    names = {"coco.json", "hip.seg.dcm", "hip_mask.png", "knee_mask.png", "segment.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    images = json.loads((tmp_path / "out" / "coco.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["knee.png", "hip.dcm"]


def test_a_failed_writer_leaves_no_output_of_its_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError("a bug of a library")

    monkeypatch.setitem(FILM_FORMATS, "nrrd", replace(FILM_FORMATS["nrrd"], write=break_down))
    one = reading(picture(tmp_path / "knee.png"), MASK)
    with pytest.raises(RuntimeError, match="a bug"):
        write_outputs(one, tmp_path / "out", ["mask", "nrrd"])
    assert [path.name for path in tmp_path.iterdir()] == ["knee.png"]


def test_a_document_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    knee = picture(tmp_path / "knee.png")
    image = {"id": 1, "file_name": "mine.png", "width": 9, "height": 9}
    mine = json.dumps({"images": [image], "annotations": [], "categories": []})
    (tmp_path / "coco.json").write_text(mine)
    done = boneseg("segment", knee, "--out", tmp_path, "--format", "coco")
    assert done.returncode == 2
    assert "coco.json: would be replaced, and segment.json does not list it" in done.stderr
    assert (tmp_path / "coco.json").read_text() == mine


@pytest.mark.parametrize("folder", ["masks", "elsewhere"])
def test_masks_drawn_for_the_films_are_not_replaced(folder: str, tmp_path: Path) -> None:
    for name in ("images", folder):
        (tmp_path / name).mkdir()
    picture(tmp_path / "images" / "knee.png")
    drawn = tmp_path / folder / "knee_mask.png"
    drawn.write_text("drawn by hand")
    done = boneseg("segment", tmp_path, "--out", tmp_path / folder, "--format", "mask")
    assert done.returncode == 2
    assert "knee_mask.png: would be replaced, and segment.json does not list it" in done.stderr
    assert [path.name for path in drawn.parent.iterdir()] == ["knee_mask.png"]
    assert drawn.read_text() == "drawn by hand"


def test_a_film_named_like_a_document_does_not_replace_it(tmp_path: Path) -> None:
    picture(tmp_path / "coco.png")
    words = ["--out", tmp_path / "out", "--format", "coco,labelme"]
    done = boneseg("segment", tmp_path / "coco.png", *words)
    assert done.returncode == 0, done.stderr
    names = {"coco-2.json", "coco.json", "segment.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_films_of_long_names_and_of_names_that_are_no_text_are_written(tmp_path: Path) -> None:
    films = [picture(tmp_path / f"{'x' * 250}.png"), tmp_path / os.fsdecode(b"h\xfcfte.png")]
    shutil.copy(films[0], films[1])
    kinds = "mask,overlay,cvat,measurements,labelme,label-studio"
    done = boneseg("segment", *films, "--out", tmp_path / "out", "--format", kinds)
    assert done.returncode == 0, done.stderr
    for result in json.loads((tmp_path / "out" / "segment.json").read_text()):
        assert all((tmp_path / "out" / name).is_file() for name in result["outputs"].values())
    told = {films[0].name, "h\\udcfcfte.png"}
    with (tmp_path / "out" / "measurements.csv").open() as file:
        assert {row["film"] for row in csv.DictReader(file)} == told
    document = ElementTree.parse(tmp_path / "out" / "annotations.xml")
    assert {image.get("name") for image in document.iter("image")} == told


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names have no such signs")
def test_control_characters_of_a_name_leave_xml_that_can_be_read(tmp_path: Path) -> None:
    films = [picture(tmp_path / name) for name in ("knee\x1b[1m.png", "two\nlines.png")]
    done = boneseg("segment", *films, "--out", tmp_path / "out", "--format", "cvat")
    assert done.returncode == 0, done.stderr
    document = ElementTree.parse(tmp_path / "out" / "annotations.xml")
    names = {image.get("name") for image in document.iter("image")}
    assert names == {"knee\\x1b[1m.png", "two\nlines.png"}
    assert "\x1b" not in done.stderr and "two\\x0alines.png" in done.stderr


def test_films_of_one_name_are_distinguished_in_documents(tmp_path: Path) -> None:
    films = [picture(tmp_path / place) for place in ("a/knee.png", "b/knee.png", "b/hip.png")]
    done = boneseg("segment", *films, "--out", tmp_path / "x", "--format", "coco,measurements")
    assert done.returncode == 0, done.stderr
    called = [films[0].as_posix(), films[1].as_posix(), "hip.png"]
    images = json.loads((tmp_path / "x" / "coco.json").read_text())["images"]
    assert [image["file_name"] for image in images] == called
    with (tmp_path / "x" / "measurements.csv").open() as file:
        assert {row["film"] for row in csv.DictReader(file)} == set(called)


def test_no_output_of_a_film_replaces_that_of_another(tmp_path: Path) -> None:
    films = [tmp_path / name for name in ("knee.dcm", "knee_probability.dcm", "Knee.png")]
    kinds = ["dicom-seg", "dicom-seg-fractional"]
    assert list(unique_stems(films, kinds)) == ["knee", "knee_probability-2", "Knee-2"]
    assert list(unique_stems(films, ["mask"])) == ["knee", "knee_probability", "Knee-2"]
    assert next(unique_stems(films, ["labelme"], ["knee.json"])) == "knee-2"
    spellings = [tmp_path / "a" / "Zo\u00e9.png", tmp_path / "b" / "Zoe\u0301.png"]
    composed, decomposed = unique_stems(spellings, ["mask"])  # one file on macOS
    assert (composed, decomposed) == ("Zo\u00e9", "Zoe\u0301-2")


def test_the_users_spacing_gives_mm_and_a_placeholder_gives_px(tmp_path: Path) -> None:
    film = dicom_film(tmp_path / "films" / "knee.dcm", PixelSpacing=[1, 1])
    call = ["segment", film, "--out", tmp_path / "x", "--format", "measurements", "--json"]
    (result,) = json.loads((done := boneseg(*call)).stdout)
    assert (result["spacing"], result["area_mm2"]) == ("placeholder", None)
    assert "spacing of exactly 1 mm is a placeholder, so areas and lengths are in px" in done.stderr
    (tmp_path / "films" / "calibration.csv").write_text("name,mm_per_pixel,how\nknee,0.2,ruler\n")
    for words, mm in ((), 0.2), (("--spacing", "0.5"), 0.5):
        (result,) = json.loads(boneseg(*call, *words).stdout)
        assert result["spacing"] == "user" and result["warning"] is None
        assert result["area_mm2"] == round(result["area_px"] * mm * mm, 2)
        with (tmp_path / "x" / "measurements.csv").open() as file:
            (row,) = csv.DictReader(file)
        assert float(row["area_mm2"]) == result["area_mm2"]
    refused = boneseg(*call, "--spacing", "-1")
    assert refused.returncode == 2
    assert (
        refused.stderr.strip() == "error: --spacing -1: give the width of a pixel, 0.001 to 10 mm"
    )
