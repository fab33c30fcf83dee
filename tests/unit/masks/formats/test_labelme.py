"""Documents of LabelMe."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.annotations import drawn, labelme, only_mask, square
from tests.support.films import PATIENT
from tests.support.polygons import labelme_polygons
from tests.support.readings import MASK, dicom_film, picture, reading, written
from tests.support.regions import mask_of, rectangle


@pytest.mark.parametrize(
    ("mode", "drawn", "ground"),
    [
        ("1", 1, 0),
        ("L", 1, 0),
        ("I;16", 1, 0),
        ("I;16", 256, 0),
        ("P", 1, 0),
        ("RGB", (0, 0, 1), (0, 0, 0)),
        ("RGBA", (255, 255, 255, 255), (255, 255, 255, 0)),
        ("LA", (1, 1), (255, 0)),
    ],
)
def test_no_colour_of_a_labelme_mask_is_lost(
    mode: str, drawn: Any, ground: Any, tmp_path: Path
) -> None:
    image = Image.new(mode, (20, 30), ground)
    if mode == "P":
        image.putpalette([0, 0, 0, 0, 0, 1])
    for column in range(20):
        image.putpixel((column, 7), drawn)
    file = io.BytesIO()
    image.save(file, "PNG")
    packed = base64.b64encode(file.getvalue()).decode()
    shape = {"label": "bone", "shape_type": "mask", "points": [[10, 10], [29, 39]], "mask": packed}
    document = labelme_polygons() | {"shapes": [shape]}
    assert np.array_equal(mask_of(tmp_path, "knee.json", document), rectangle(10, 17, 30, 18))


def test_labelme_masks_and_circles_count(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(square(True)[10:40, 10:30]).save(file, "PNG")
    mask = base64.b64encode(file.getvalue()).decode()
    shape = {"label": "bone", "points": [[10, 10], [29, 39]], "shape_type": "mask", "mask": mask}
    root = drawn(tmp_path / "a", "knee.json", {"shapes": [shape]})
    assert np.array_equal(only_mask(root), square(True))
    circle = labelme(("head", [[40, 30], [50, 30]]), shape_type="circle")
    disk = only_mask(drawn(tmp_path / "b", "knee.json", circle))
    assert disk.sum() == pytest.approx(np.pi * 100, abs=4)


def test_polygons_beyond_the_film_are_cut_off(tmp_path: Path) -> None:
    wide = labelme(("bone", [[-20, -20], [30, -20], [30, 200], [-20, 200]]))
    mask = only_mask(drawn(tmp_path, "knee.json", wide))
    assert mask.sum() == 60 * 30
    assert mask[:, :30].all()


def test_labelme_is_given_pictures_by_path_and_dicom_within(tmp_path: Path) -> None:
    film = picture(tmp_path / "films" / "knee.png")
    found = json.loads(written("labelme", reading(film, MASK), tmp_path).read_text())
    assert (found["imagePath"], found["imageData"]) == ("films/knee.png", None)
    assert (found["imageHeight"], found["imageWidth"]) == MASK.shape
    assert {shape["shape_type"] for shape in found["shapes"]} == {"polygon"}
    one = reading(dicom_film(tmp_path / "knee.dcm"), MASK)
    found = json.loads(written("labelme", one, tmp_path).read_text())
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["imageData"]))))
    assert np.abs(shown / 255 - one.film.pixels).max() <= 0.5 / 255 + 1e-6
    assert PATIENT not in json.dumps(found)


def test_a_film_is_found_from_its_json_or_within_it_under_its_name(tmp_path: Path) -> None:
    one = reading(picture(tmp_path / "films" / "knee.png"), MASK)
    (tmp_path / "out").mkdir()
    found = json.loads(written("labelme", one, tmp_path / "out").read_text())
    assert (found["imagePath"], found["imageData"]) == ("../films/knee.png", None)
    named = replace(one, name=Path("study") / "film 1.png")
    found = json.loads(written("labelme", named, tmp_path / "out").read_text())
    assert found["imagePath"] == "film 1.png"
    with Image.open(io.BytesIO(base64.b64decode(found["imageData"]))) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "L", (80, 60))


def test_a_circle_is_its_centre_and_a_point_of_its_edge(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:60, :80] + 0.5
    for edge in ([46, 38], [34, 22], [30, 30], ["50", 30]):
        circle = labelme(("head", [[40, 30], edge]), shape_type="circle")
        disk = only_mask(drawn(tmp_path / str(edge), "knee.json", circle))
        distance = np.hypot(columns - 40, rows - 30)
        assert disk[distance < 9.5].all() and not disk[distance > 10.5].any()
