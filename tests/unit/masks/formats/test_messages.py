"""Errors of the formats are one line: the file, its film, what is wrong with it and what to do."""

from __future__ import annotations

import bz2
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from boneseg.errors import MaskError, OutputError
from boneseg.masks.annotations import open_annotations
from boneseg.masks.formats import DOCUMENT_FORMATS, FORMATS
from boneseg.masks.formats.png import write_bones, write_mask
from boneseg.masks.read import read_mask
from tests.support.annotations import labelled_apart
from tests.support.polygons import coco_polygons, cvat_polygons
from tests.support.readings import MASK, picture, reading
from tests.support.regions import (
    SHAPE,
    coco_region,
    cvat_region,
    label_studio_region,
    labelme_region,
    yolo_region,
)

CVAT_WANTED = "export it as 'CVAT for images 1.1'"
FRACTIONS = (
    "has polygons whose coordinates are all between 0 and 1, fractions of the film; give them in "
    "the unit of the format"
)
TURNED = (
    "has axes rotated or mirrored relative to its film; save it with those of the film "
    "(x to the left, y to the back of the patient: LPS)"
)
NO_SLICE = "does not hold one slice of integer labels; save it as such"
SMALL = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.8]]


def line_of(path: Path, content: Any) -> str:
    """The error of a file without its path."""
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(MaskError) as caught:
        read_mask(path, SHAPE)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and len(line.splitlines()) == 1
    return line.removeprefix(f"{path}: ")


def short(value: object) -> str:
    return str(value)[:40]


def changed(document: Any, **facts: Any) -> Any:
    """A document of LabelMe, COCO or Label Studio with other facts of its only region."""
    if isinstance(document, list):
        region = document[0]["annotations"][0]["result"][0]
    else:
        (region,) = document.get("shapes") or document["annotations"]
    region |= facts
    return document


def refused(shape: str) -> str:
    return (
        f"holds {shape}, which does not follow the outline of a bone; draw a polygon, or choose "
        "other labels with --label"
    )


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("{", "is damaged, or is not JSON; export it again"),
        (
            {},
            "is neither LabelMe JSON, nor COCO JSON, nor Label Studio JSON; export it as one of "
            "these",
        ),
        ({"shapes": 3}, "is damaged, or is not LabelMe JSON; export it again"),
        (labelme_region("line"), refused("a line labelled bone")),
        (changed(labelme_region("polygon"), points=SMALL), FRACTIONS),
        (
            changed(labelme_region("circle"), points=[[1, 1]]),
            "is damaged, or is not LabelMe JSON; export it again",
        ),
        (
            changed(labelme_region("mask"), mask="x"),
            "a mask labelled bone is damaged; export it again",
        ),
        (
            changed(labelme_region("mask"), points=[[70, 10], [89, 39]]),
            "a mask labelled bone extends beyond its film; check that it belongs to this film",
        ),
    ],
)
def test_errors_of_labelme_are_one_line(content: Any, line: str, tmp_path: Path) -> None:
    assert line_of(tmp_path / "knee.json", content) == line


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (changed(coco_region("polygons"), category_id=None), "is damaged, or is not COCO JSON"),
        (changed(coco_region("polygons"), category_id=[1]), "is damaged, or is not COCO JSON"),
        (
            changed(coco_region("polygons"), segmentation=[[None]]),
            "is damaged, or is not COCO JSON",
        ),
        (coco_polygons(SMALL), FRACTIONS),
        *(
            (
                changed(coco_region("polygons"), segmentation={"size": [60, 80], "counts": counts}),
                "a mask labelled bone is damaged",
            )
            for counts in ("p", "/", "1P", "é", [1, 2], [-1, 4801], [4801])
        ),
    ],
    ids=short,
)
def test_errors_of_coco_are_one_line(content: Any, line: str, tmp_path: Path) -> None:
    line += "" if line is FRACTIONS else "; export it again"
    assert line_of(tmp_path / "all.json", content) == f"knee.png: {line}"


def test_coco_with_parts_that_belong_to_no_film(tmp_path: Path) -> None:
    document = coco_region("polygons")
    document["annotations"] += [{"image_id": 9}, {"category_id": 1}, "x"]
    document["images"] += [{"id": 5}, {"file_name": "z.png"}, {"id": 6, "file_name": 3}, "y"]
    path = tmp_path / "all.json"
    path.write_text(json.dumps(document))
    errors = [drawing.error for drawing in open_annotations(path)]
    nameless = f"{path}: lists an image without id or file_name; add them"
    assert errors[:5] == ["", nameless, nameless, nameless, nameless]
    wrong = "which is not listed; correct its image_id"
    assert errors[5:] == [f"{path}: annotates image 9, {wrong}"]
    del document["images"][1:]
    path.write_text(json.dumps(document))
    assert [drawing.error for drawing in open_annotations(path)] == [
        "",
        f"{path}: annotates image 9, {wrong}",
        f"{path}: annotates image without id, {wrong}",
    ]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("<annotations", "is damaged, or is not XML; export it again"),
        ("<!ENTITY", "is damaged, or is not XML; export it again"),
        ("<!DOCTYPE a><annotations/>", "is damaged, or is not XML; export it again"),
        (
            "<?xml version='1.0' encoding='utf-16'?><annotations/>".encode("utf-16"),
            "is damaged, or is not XML; export it again",
        ),
        ("<a/>", f"is not CVAT for images; {CVAT_WANTED}"),
        (
            "<annotations><track/></annotations>",
            f"is a CVAT video export, not CVAT for images; {CVAT_WANTED}",
        ),
        (cvat_polygons(SMALL), f"knee.png: {FRACTIONS}"),
        (cvat_region("box"), "knee.png: " + refused("a box labelled bone")),
        (
            cvat_region("mask").replace('height="60"', ""),
            "knee.png: is damaged, or is not CVAT; export it again",
        ),
        *(
            (
                cvat_region("mask").replace(old, new),
                "knee.png: a mask labelled bone extends beyond its film; check that it belongs to "
                "this film",
            )
            for old, new in (
                ('left="10"', 'left="61"'),
                ('width="20"', 'width="81"'),
                ('height="30"', 'height="61"'),
            )
        ),
        (
            cvat_region("mask").replace("600", "601"),
            "knee.png: a mask labelled bone is damaged; export it again",
        ),
    ],
    ids=short,
)
def test_errors_of_cvat_are_one_line(content: Any, line: str, tmp_path: Path) -> None:
    assert line_of(tmp_path / "all.xml", content) == line


def test_cvat_without_the_name_of_a_film(tmp_path: Path) -> None:
    path = tmp_path / "all.xml"
    path.write_text(cvat_region("polygon").replace("knee.png", ""))
    (drawing,) = open_annotations(path)
    assert drawing.error == f"{path}: an image has no name; export it again"


def several_sizes() -> Any:
    document = label_studio_region("polygon")
    (result,) = document[0]["annotations"][0]["result"]
    document[0]["annotations"][0]["result"].append(result | {"original_width": 81})
    return document


def without_its_region() -> Any:
    document = label_studio_region("polygon")
    document[0]["annotations"][0]["result"] += labelled_apart("polygon", "x")[1:2]
    return document


OUTSIDE = "has coordinates outside 0 to 100; give them in percent of the film"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (label_studio_region("keypoint"), refused("a point labelled bone")),
        (
            changed(label_studio_region("polygon"), image_rotation=90),
            "is drawn on a rotated film; undo the rotation and export it again",
        ),
        (
            several_sizes(),
            "has regions drawn on films of several sizes; draw them again on this one",
        ),
        (without_its_region(), "has a label whose region is missing; export it again"),
        (changed(label_studio_region("polygon"), value={"points": SMALL}), FRACTIONS),
        *(
            (
                changed(label_studio_region("polygon"), value={"points": points}),
                OUTSIDE,
            )
            for points in (
                [[0, 0], [106, 0], [9, 9]],
                [[0, -6], [50, 0], [9, 9]],
                [[0, 0], [50, 105], [9, 9]],
                [[0, -5], [50, 0], [9, 9]],
            )
        ),
        (
            changed(label_studio_region("polygon"), type=None),
            "is damaged, or is not Label Studio JSON; export it again",
        ),
        *(
            (
                changed(label_studio_region("brush"), value={"rle": rle, "brushlabels": ["bone"]}),
                "a brush mask labelled bone is damaged; export it again",
            )
            for rle in (None, [], [1.5], [256], [0, 0, 75, 0, 57])
        ),
    ],
    ids=short,
)
def test_errors_of_label_studio_are_one_line(content: Any, line: str, tmp_path: Path) -> None:
    assert line_of(tmp_path / "all.json", content) == f"knee.png: {line}"


def test_label_studio_without_one_annotation_of_a_film(tmp_path: Path) -> None:
    (task,) = label_studio_region("polygon")
    none = "no task has an annotation; accept or draw masks, then export again"
    path = tmp_path / "all.json"
    assert line_of(path, [task | {"annotations": []}]) == none
    cancelled = [one | {"was_cancelled": True} for one in task["annotations"]]
    assert line_of(path, [task | {"annotations": cancelled}]) == none
    assert line_of(path, [task | {"annotations": task["annotations"] * 3}]) == (
        "knee.png: holds 3 annotations of this film; keep one of them"
    )
    path.write_text(json.dumps([task, {"data": {"age": 3}}, {"data": {"image": ""}}, "x"]))
    assert [drawing.error for drawing in open_annotations(path)] == [
        "",
        *(
            f"{path}: task {number} names no film, or is damaged; export it again"
            for number in (2, 3, 4)
        ),
    ]


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        ("bone 0.1 0.1 0.4 0.1 0.4 0.4", "holds no valid YOLO polygons; export it again"),
        (yolo_region("0.5"), "holds no valid YOLO polygons; export it again"),
        ("7 0.1 0.1 0.2 0.2", refused("a box labelled 7")),
        ("7 0.1 0.1 0.2 0.2 0.9", refused("a box labelled 7")),
        (
            yolo_region(end=" 0.9"),
            "has a line with an odd number of coordinates; remove the confidence, or export it "
            "again",
        ),
        *(
            (
                f"0 0.1 0.1 0.4 0.1 0.4 {place}",
                "has coordinates outside 0 to 1; give them as fractions of width and height, "
                "without confidence and track number",
            )
            for place in ("1.06", "-0.06", "7")
        ),
        (
            yolo_region(end=" 0.9 1"),
            "has a line whose last two numbers may be a confidence and a track number; leave them "
            "out",
        ),
    ],
)
def test_errors_of_yolo_are_one_line(lines: str, line: str, tmp_path: Path) -> None:
    assert line_of(tmp_path / "knee.txt", lines) == line


def nrrd(encoding: str = "raw", more: str = "", sizes: str = "80 60", data: bytes = b"") -> bytes:
    dimension = len(sizes.split())
    header = f"NRRD0004\ntype: uint8\ndimension: {dimension}\nsizes: {sizes}\n"
    return f"{header}encoding: {encoding}\n{more}\n".encode() + (data or bytes(4800))


DAMAGED = "is damaged, or is not NRRD; export it again"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"NRRD0004\n", DAMAGED),
        (nrrd(data=bytes(4799)), DAMAGED),
        (nrrd(data=bytes(4801)), DAMAGED),
        (nrrd("text", data=b"1 " * 4799), DAMAGED),
        (nrrd("text", data=b"1 " * 4801), DAMAGED),
        (nrrd("hex", data=b"00" * 4801), DAMAGED),
        (nrrd("bzip2", data=bz2.compress(bytes(4801))), DAMAGED),
        (nrrd("zrl"), "has the encoding zrl; save it with gzip or raw"),
        (
            nrrd(more="data file: knee.raw\n"),
            "keeps its pixels in another file; save both in one",
        ),
        (
            nrrd(more="datafile: knee.raw\n"),
            "keeps its pixels in another file; save both in one",
        ),
        (
            nrrd(more="byte skip: -1\n"),
            "skips lines or bytes before its pixels; save it again",
        ),
        (nrrd(sizes="4800"), NO_SLICE),
        (nrrd(sizes="80 60 2"), NO_SLICE),
        (nrrd(sizes="1 80 60 2"), NO_SLICE),
        (nrrd(sizes="1 80 60 1 1"), NO_SLICE),
        (
            nrrd(sizes="1001 80 60 1"),
            "has 1001 layers, more than a mask of bones; is it a mask?",
        ),
        (nrrd(more="space: LPS\nspace directions: (1,0,0) (0,-1,0)\n"), TURNED),
        (nrrd(more="space: LPS\nspace directions: (1,0.1,0) (0,1,0)\n"), TURNED),
        (nrrd(more="space: LPS\nspace directions: (1,0,0) (0.1,1,0)\n"), TURNED),
        (nrrd(more="space: scanner-xyz\nspace directions: (1,0,0) (0,1,0)\n"), TURNED),
    ],
    ids=short,
)
def test_errors_of_nrrd_are_one_line(content: bytes, line: str, tmp_path: Path) -> None:
    assert line_of(tmp_path / "knee.nrrd", content) == line


def nifti(values: Any, *sides: float, affine: Any = None) -> bytes:
    affine = np.diag([*(sides or (-1, -1)), 1, 1]) if affine is None else affine
    content: bytes = nibabel.Nifti1Image(values, affine).to_bytes()
    return content


SLICE = MASK.T.astype(np.uint8)
SHEARED = np.diag([-1.0, -1, 1, 1])


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"no", "is damaged, or is not NIfTI; export it again"),
        (nifti(np.stack([SLICE, SLICE], axis=-1)), NO_SLICE),
        (nifti(SLICE[0]), NO_SLICE),
        (nifti(SLICE * np.float32(0.5)), NO_SLICE),
        (
            nifti(SLICE.astype(np.complex64)),
            "holds colours or complex numbers; save it as integer labels",
        ),
        (
            nifti(-SLICE.astype(np.int16)),
            "holds negative values, which are not labels; is it a mask?",
        ),
        *((nifti(SLICE, x, y), TURNED) for x, y in ((0.5, -0.5), (-0.5, 0.5), (0.5, 0.5))),
        (nifti(SLICE, affine=SHEARED + np.eye(4, k=1) * 0.01), TURNED),
        (nifti(SLICE, affine=SHEARED + np.eye(4, k=-1) * 0.01), TURNED),
    ],
    ids=short,
)
def test_errors_of_nifti_are_one_line(content: bytes, line: str, tmp_path: Path) -> None:
    assert line_of(tmp_path / "knee.nii", content) == line


# --- writers ---


@pytest.mark.parametrize(
    "mask", [np.zeros((3, 4), np.float32), np.zeros(4, bool), np.zeros((0, 4), bool)]
)
def test_what_is_not_a_mask_is_not_written(mask: Any, tmp_path: Path) -> None:
    with pytest.raises(MaskError) as caught:
        write_mask(tmp_path / "knee.png", mask)
    assert str(caught.value) == (
        f"{tmp_path / 'knee.png'}: a mask is bool, height x width, not {mask.dtype} of shape "
        f"{mask.shape}; threshold it first"
    )
    assert not list(tmp_path.iterdir())


def test_a_folder_of_other_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "bones").mkdir()
    (tmp_path / "bones" / "notes.txt").write_text("mine")
    one = replace(reading(picture(tmp_path / "knee.png"), MASK), named={"femur": MASK})
    with pytest.raises(OutputError) as caught:
        write_bones(tmp_path / "bones", one)
    assert str(caught.value) == (
        f"{tmp_path / 'bones'}: holds files that boneseg did not write, so it is not replaced; "
        "move it, or choose another folder for --out"
    )


@pytest.mark.parametrize("kind", DOCUMENT_FORMATS)
def test_another_document_is_not_replaced(kind: str, tmp_path: Path) -> None:
    path = tmp_path / DOCUMENT_FORMATS[kind].document
    assert DOCUMENT_FORMATS[kind].read_document(path) == {}
    for content in ("", "{}", "[3]", "<a/>", "<annotations><image/></annotations>", "film,x\n"):
        path.write_text(content)
        with pytest.raises(OutputError) as caught:
            DOCUMENT_FORMATS[kind].read_document(path)
        assert str(caught.value) == (
            f"{path}: was not written by boneseg, so it is not replaced; move it, or choose "
            "another folder for --out"
        )


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if not FORMATS[kind].of_dicom])
def test_a_folder_that_is_not_there_is_said_by_every_writer(kind: str, tmp_path: Path) -> None:
    form, one = FORMATS[kind], reading(picture(tmp_path / "knee.png"), MASK)
    path = tmp_path / "missing" / "knee"
    with pytest.raises(OutputError, match=r"cannot be written \(.*\); .") as caught:
        if form.document:
            form.write_document(path, [form.entry(one)])
        else:
            form.write(path, one)
    assert str(caught.value).startswith(f"{path}: ")
