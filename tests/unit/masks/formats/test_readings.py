"""What every reader says of a file: its films, their size, and each region with its shape."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import nrrd
import numpy as np
import pytest

from boneseg.errors import MaskError
from boneseg.masks.annotations import open_annotations
from boneseg.masks.formats import FORMATS
from boneseg.masks.formats.png import write_bones
from boneseg.masks.read import read_mask
from boneseg.masks.types import MaskSizeError
from tests.support.annotations import READ
from tests.support.readings import MASK, dicom_film, picture, reading
from tests.support.regions import (
    SHAPE,
    coco_region,
    cvat_region,
    label_studio_region,
    labelme_region,
    rectangle,
    yolo_region,
)


def saved(path: Path, content: Any) -> Path:
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def said(path: Path) -> list[tuple[str | None, Any, list[tuple[str, str]]]]:
    """Name and size of each film of a file, and the label and shape of its regions."""
    drawn = [(drawing.name, drawing.read(SHAPE)) for drawing in open_annotations(path)]
    return [
        (name, one.size, [(region.label, region.kind) for region in one.regions])
        for name, one in drawn
    ]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("polygon", "a polygon"),
        ("mask", "a mask"),
        ("circle", "a circle"),
        ("rectangle", "a rectangle"),
        ("point", "a point"),
        ("", "a polygon"),
    ],
)
def test_films_and_shapes_of_labelme_are_told(kind: str, told: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "knee.json", labelme_region(kind))
    assert said(path) == [(None, SHAPE, [("bone", told)])]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("polygons", "a polygon"),
        ("run lengths as numbers", "a mask"),
        ("run lengths as text", "a mask"),
        ("boxes alone", "a box"),
    ],
)
def test_films_and_shapes_of_coco_are_told(kind: str, told: str, tmp_path: Path) -> None:
    document = coco_region(kind)
    path = saved(tmp_path / "all.json", document)
    assert said(path) == [("knee.png", SHAPE, [("bone", told)])]
    for image in document["images"]:
        del image["height"]
    assert said(saved(path, document)) == [("knee.png", None, [("bone", told)])]
    document["categories"] = None  # then its number is the label
    assert said(saved(path, document)) == [("knee.png", None, [("1", told)])]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("polygon", "a polygon"),
        ("mask", "a mask"),
        ("ellipse", "an ellipse"),
        ("box", "a box"),
        ("polyline", "a polyline"),
    ],
)
def test_films_and_shapes_of_cvat_are_told(kind: str, told: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "all.xml", cvat_region(kind))
    assert said(path) == [("knee.png", SHAPE, [("bone", told)])]
    path = saved(path, cvat_region(kind).replace('label="bone"', ""))
    assert said(path) == [("knee.png", SHAPE, [("unlabelled", told)])]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("polygon", "a polygon"),
        ("ellipse", "an ellipse"),
        ("brush", "a brush mask"),
        ("bitmask", "a bitmask"),
        ("rectangle", "a box"),
        ("keypoint", "a point"),
        ("vector", "a line"),
        ("spline", "a spline"),
    ],
)
def test_films_and_shapes_of_label_studio_are_told(kind: str, told: str, tmp_path: Path) -> None:
    document = label_studio_region(kind)
    path = saved(tmp_path / "all.json", document)
    assert said(path) == [("knee.png", SHAPE, [("bone", told)])]
    del document[0]["annotations"][0]["result"][0]["value"][f"{kind}labels"]
    assert said(saved(path, document)) == [("knee.png", SHAPE, [("unlabelled", told)])]
    document[0]["annotations"][0]["result"] = []
    assert said(saved(path, document)) == [("knee.png", None, [])]


def test_films_and_shapes_of_yolo_are_told(tmp_path: Path) -> None:
    path = saved(tmp_path / "knee.txt", yolo_region("3") + "4.0 0.25 0.4 0.25 0.5\n")
    assert said(path) == [(None, None, [("3", "a polygon"), ("4", "a box")])]


def test_films_and_shapes_of_nrrd_are_told(tmp_path: Path) -> None:
    values = (rectangle() + 4 * rectangle(40, 10, 50, 40)).T.astype(np.uint8)
    header = {"Segment0_Name": "Femur", "Segment0_LabelValue": "1"}
    nrrd.write(str(tmp_path / "knee.nrrd"), values, header)
    regions = [("Femur", "a segment"), ("4", "a value")]
    assert said(tmp_path / "knee.nrrd") == [(None, SHAPE, regions)]
    nrrd.write(str(tmp_path / "hip.nrrd"), values, {"Segment2_ID": "a"})
    regions = [("Segment 2", "a segment"), ("4", "a value")]
    assert said(tmp_path / "hip.nrrd") == [(None, SHAPE, regions)]


def test_films_and_shapes_of_nifti_are_told(tmp_path: Path) -> None:
    values = (rectangle() + 4 * rectangle(40, 10, 50, 40)).T.astype(np.uint8)
    image = nibabel.Nifti1Image(values, np.diag([-1, -1, 1, 1]))
    path = saved(tmp_path / "knee.nii.gz", gzip.compress(image.to_bytes()))
    assert said(path) == [(None, SHAPE, [("1", "a value"), ("4", "a value")])]


def test_films_and_shapes_of_a_folder_of_bones_are_told(tmp_path: Path) -> None:
    named = {"left hip bone": rectangle(), "femur": rectangle(40, 10, 50, 40)}
    one = replace(reading(picture(tmp_path / "knee.png"), rectangle()), named=named)
    write_bones(tmp_path / "knee_bones", one)
    assert said(tmp_path / "knee_bones") == [
        (None, SHAPE, [("femur", "a mask"), ("left hip bone", "a mask")])
    ]
    assert np.array_equal(read_mask(tmp_path / "knee_bones", labels=["left hip bone"]), rectangle())
    both = rectangle() | rectangle(40, 10, 50, 40)
    assert np.array_equal(read_mask(tmp_path / "knee_bones"), both)


@pytest.mark.parametrize("kind", READ)
def test_the_size_of_a_mask_is_in_its_file_and_must_be_that_of_its_film(
    kind: str, tmp_path: Path
) -> None:
    form = FORMATS[kind]
    film = (dicom_film if kind == "dicom-seg" else picture)(tmp_path / "knee.dcm.png")
    path = tmp_path / (form.document or f"knee{form.suffix}")
    if form.document:
        form.write_document(path, [form.entry(reading(film, MASK))])
    else:
        form.write(path, reading(film, MASK))
    if kind == "yolo":
        with pytest.raises(MaskError) as caught:
            read_mask(path)
        assert str(caught.value) == (
            f"{path}: does not give the size of its film; put the film beside it"
        )
        return
    assert np.array_equal(read_mask(path), MASK)
    for other in ((61, 80), (60, 81), (59, 80), (60, 79), (80, 60)):
        with pytest.raises(MaskSizeError, match="draw it on the film's own grid") as caught:
            read_mask(path, other)
        assert (caught.value.size, caught.value.film) == (SHAPE, other)


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("kind", ["int16", "uint16", "int32", "uint64", "float", "double"])
def test_labels_of_nrrd_in_either_byte_order(order: str, kind: str, tmp_path: Path) -> None:
    dtype = np.dtype({"float": "f4", "double": "f8"}.get(kind, kind))
    values = (3 * rectangle()).astype(dtype.newbyteorder("<" if order == "little" else ">"))
    header = f"NRRD0004\ntype: {kind}\ndimension: 2\nsizes: 80 60\nendian: {order}\nencoding: raw\n"
    path = saved(tmp_path / "knee.nrrd", f"{header}\n".encode() + values.tobytes())
    assert said(path) == [(None, SHAPE, [("3", "a value")])]
    assert np.array_equal(read_mask(path, labels=["3"]), rectangle())


def ellipses(rx: float, ry: float, turn: float) -> list[tuple[str, Any]]:
    """One ellipse in the formats that have it."""
    cvat = cvat_region("ellipse").replace('rx="10" ry="15"', f'rx="{rx}" ry="{ry}"')
    cvat = cvat.replace("<ellipse", f'<ellipse rotation="{turn}"')
    studio = label_studio_region("ellipse")
    value = studio[0]["annotations"][0]["result"][0]["value"]
    value |= {"radiusX": rx / 80 * 100, "radiusY": ry / 60 * 100, "rotation": turn}
    return [("all.xml", cvat), ("all.json", studio)]


def test_an_ellipse_may_be_turned(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:60, :80] + 0.5
    x, y = columns - 20, rows - 25
    turn = np.radians(30)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    distance = np.hypot(along / 14, across / 6)
    for name, document in ellipses(14, 6, 30):
        mask = read_mask(saved(tmp_path / name, document), SHAPE)
        assert mask[distance < 0.93].all() and not mask[distance > 1.07].any()
    for (name, turned), (_, plain) in zip(ellipses(14, 6, 90), ellipses(6, 14, 0), strict=True):
        turned_mask = read_mask(saved(tmp_path / name, turned), SHAPE)
        plain_mask = read_mask(saved(tmp_path / f"plain {name}", plain), SHAPE)
        assert (turned_mask != plain_mask).sum() <= 4


def test_of_shapes_that_overlap_the_last_drawn_counts(tmp_path: Path) -> None:
    """CVAT: by depth, 0 where it is not given; others: in the order of the file."""
    hole = '<polygon label="hole" points="12,12;20,12;20,20;12,20" {}/></image>'
    document = cvat_region("polygon").replace("</image>", hole)
    cut = rectangle() & ~rectangle(12, 12, 20, 20)
    for depth, mask in (("", cut), ('z_order="1"', cut), ('z_order="-1"', rectangle())):
        path = saved(tmp_path / f"all{len(depth)}.xml", document.format(depth))
        assert np.array_equal(read_mask(path, SHAPE), mask)
    labelme = labelme_region("polygon")
    hollow = {"label": "hole", "points": [[12, 12], [20, 12], [20, 20], [12, 20]]}
    labelme["shapes"].append(hollow)
    assert np.array_equal(read_mask(saved(tmp_path / "a.json", labelme)), cut)
    labelme["shapes"].reverse()
    assert np.array_equal(read_mask(saved(tmp_path / "b.json", labelme)), rectangle())
