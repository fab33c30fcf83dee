"""Polygons of YOLO."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from boneseg.dataset.open import open_dataset
from boneseg.errors import MaskError
from tests.support.annotations import FRAME, drawn, square
from tests.support.polygons import flat
from tests.support.readings import MASK, picture, reading, written
from tests.support.regions import SQUARE, mask_of, rectangle, yolo_region


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + yolo_region(),
        yolo_region("0.0"),
        yolo_region("3").replace(" ", "\t"),
        yolo_region(end="\r\n"),
        "\n\n" + yolo_region() + "\n  \n",
        yolo_region("-0"),
        yolo_region("1e0"),
    ],
    ids=["BOM", "0.0", "tabs", "CRLF", "empty lines", "-0", "1e0"],
)
def test_yolo_is_read_however_it_is_written(text: str, tmp_path: Path) -> None:
    assert np.array_equal(mask_of(tmp_path, "knee.txt", text), rectangle())


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0 " + " ".join(map(str, flat(SQUARE))), "outside 0 to 1"),  # px
        ("0 " + " ".join(str(place * 1.3) for place in flat(SQUARE)), "outside 0 to 1"),
        (yolo_region(end=" 0.91"), "odd number of coordinates"),
        (yolo_region(end=" 0.91 7"), "without confidence and track number"),
        (yolo_region(end=" 0.91 1"), "may be a confidence and a track number"),
        (yolo_region(end=" 0.9 0"), "may be a confidence and a track number"),
        (yolo_region("0.5"), "holds no valid YOLO polygons"),
        ("0 0.1 0.1 0.9", "odd number of coordinates"),
        ("0 0.1 0.1", "fewer than 3 points"),
        ("0 0.1 0.1 0.2 nan 0.3 0.3", "holds no valid YOLO polygons|outside 0 to 1"),
    ],
)
def test_a_yolo_line_that_is_not_a_polygon_is_refused(line: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(MaskError, match=told):
        mask_of(tmp_path, "knee.txt", f"{yolo_region()}{line}\n")


def test_a_polygon_of_yolo_may_end_at_the_edge_of_its_film(tmp_path: Path) -> None:
    mask = mask_of(tmp_path, "knee.txt", "0 0.25 0.5 0.5 0.5 0.5 1 0.25 1\n")
    assert np.array_equal(mask, rectangle(20, 30, 40, 60))


@pytest.mark.parametrize("line", ["bone 0.1 0.1 0.4 0.1 0.4 0.4", "0 0.1 x 0.4 0.1 0.4 0.4"])
def test_a_damaged_yolo_file_is_not_ignored_as_text(line: str, tmp_path: Path) -> None:
    with pytest.raises(MaskError, match=r"knee.txt: holds no valid YOLO polygons"):
        mask_of(tmp_path, "knee.txt", line)


def test_yolo_files_without_bone_count_beside_others(tmp_path: Path) -> None:
    line = "0 " + " ".join(f"{x / 80} {y / 60}" for x, y in SQUARE)
    root = drawn(tmp_path, "knee.txt", line, "knee.png", "hip.png")
    (root / "masks" / "hip.txt").touch()
    (root / "masks" / "README.txt").write_text("drawn by two readers")
    hip, knee = open_dataset(root).cases
    assert np.array_equal(knee.read_mask(FRAME), square())
    assert not hip.read_mask(FRAME).any()
    assert open_dataset(root).unpaired_masks == ()


def test_yolo_lines_are_a_class_and_parts_of_the_film(tmp_path: Path) -> None:
    path = written("yolo", reading(picture(tmp_path / "knee.png"), MASK), tmp_path)
    lines = [line.split() for line in path.read_text().splitlines()]
    assert len(lines) == 4
    assert {line[0] for line in lines} == {"0"}
    assert all(0 <= float(part) <= 1 for line in lines for part in line[1:])
    none = reading(tmp_path / "knee.png", np.zeros_like(MASK))
    assert written("yolo", none, tmp_path).read_text() == ""
