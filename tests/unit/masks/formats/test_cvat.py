"""Annotations of CVAT, in XML."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from boneseg.dataset.open import open_dataset
from boneseg.errors import DatasetError, MaskError
from tests.support.annotations import CVAT, drawn, only_mask, square
from tests.support.polygons import (
    cvat_polygons,
)
from tests.support.readings import MASK, picture, reading, written
from tests.support.regions import (
    SQUARE,
    label_studio_region,
    mask_of,
)


def test_cvat_shapes_without_a_label_and_labels_without_a_region_are_not_lost(
    tmp_path: Path,
) -> None:
    nameless = cvat_polygons(SQUARE).replace('label="bone" ', "")
    with pytest.raises(MaskError, match="unclear whether unlabelled is bone"):
        mask_of(tmp_path / "a", "annotations.xml", nameless)
    document = label_studio_region("polygon")
    lost = {"type": "labels", "id": "x", "value": {"labels": ["femur"], "points": SQUARE}}
    document[0]["annotations"][0]["result"].append(lost)
    with pytest.raises(MaskError, match="has a label whose region is missing"):
        mask_of(tmp_path / "b", "project.json", document)


def test_cvat_is_told_the_labels_and_the_number_of_films(tmp_path: Path) -> None:
    film = picture(tmp_path / "knee.png")
    root = ElementTree.parse(written("cvat", reading(film, MASK), tmp_path)).getroot()
    assert root.findtext("version") == "1.1"
    assert root.findtext("meta/task/size") == "1"
    assert [name.text for name in root.findall("meta/task/labels/label/name")] == ["bone"]
    assert [image.attrib for image in root.findall("image")] == [
        {"name": "knee.png", "width": "80", "height": "60", "id": "0"}
    ]


def test_a_video_of_cvat_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is a CVAT video export, not CVAT for images"):
        drawn(tmp_path, "annotations.xml", "<annotations><track/></annotations>")
        open_dataset(tmp_path)


def test_cvat_polygons_in_the_order_of_their_depth(tmp_path: Path) -> None:
    root = drawn(tmp_path, "annotations.xml", CVAT.format(""))
    assert np.array_equal(only_mask(root), square(hole=True))


def test_cvat_masks_ellipses_and_boxes(tmp_path: Path) -> None:
    mask = '<mask label="spur" rle="1, 2, 1" left="50" top="50" width="2" height="2"/>'
    found = only_mask(drawn(tmp_path / "a", "annotations.xml", CVAT.format(mask)))
    assert found[50:52, 50:52].tolist() == [[False, True], [True, False]]
    ellipse = '<ellipse label="head" cx="60" cy="30" rx="10" ry="5"/>'
    root = drawn(tmp_path / "b", "annotations.xml", CVAT.format(ellipse))
    assert only_mask(root, labels=["head"]).sum() == pytest.approx(np.pi * 50, abs=4)
    box = '<box label="bone" xtl="1" ytl="1" xbr="9" ybr="9"/>'
    with pytest.raises(MaskError, match="a box labelled bone"):
        only_mask(drawn(tmp_path / "c", "annotations.xml", CVAT.format(box)))
