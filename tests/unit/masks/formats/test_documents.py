"""What each format writes of one small film, in full: every key, name, number and its unit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import nrrd
import numpy as np
import pytest
from pycocotools import mask as coco

from boneseg._util.drawing.overlay import COLOUR
from boneseg.masks.polygons import area
from boneseg.masks.segmentation import Segmentation
from boneseg.masks.terminology import CONCEPTS, colour_of
from tests.support.readings import card, dicom_film, picture, reading, written
from tests.support.verdicts import REVIEW

HEIGHT, WIDTH = 20, 24
FEMUR = np.zeros((HEIGHT, WIDTH), bool)
FEMUR[3:9, 5:9] = True
HIP = np.zeros((HEIGHT, WIDTH), bool)
HIP[12:14, 2:5] = True
HIP[14, 4:6] = True
REST = np.zeros((HEIGHT, WIDTH), bool)
REST[16:18, 20] = True
MASK = FEMUR | HIP | REST
OTHER = colour_of("a name that no bone has")


def two_bones(folder: Path, *, dicom: bool = False) -> Segmentation:
    """Two bones by name, one of which SNOMED CT has, and a piece without a name."""
    if dicom:
        film = dicom_film(folder / "knee.dcm", HEIGHT, WIDTH, ImagerPixelSpacing=[0.5, 0.2])
    else:
        film = picture(folder / "knee.png", HEIGHT, WIDTH)
    named = {"femur": FEMUR, "left hip bone": HIP}
    return replace(reading(film, MASK, card()), named=named, judged=REVIEW)


def document(kind: str, folder: Path) -> Any:
    return json.loads(written(kind, two_bones(folder), folder).read_text(encoding="utf-8"))


CATEGORIES = [
    {"id": 1, "name": "bone", "supercategory": ""},
    *(
        {"id": number, "name": name, "supercategory": "bone"}
        for number, name in enumerate([*CONCEPTS, "left hip bone"], start=2)
    ),
]


def test_coco_is_written_in_full(tmp_path: Path) -> None:
    pieces = [
        (FEMUR, 2 + list(CONCEPTS).index("femur"), 24, [5.0, 3.0, 4.0, 6.0]),
        (HIP, 2 + len(CONCEPTS), 8, [2.0, 12.0, 4.0, 3.0]),
        (REST, 1, 2, [20.0, 16.0, 1.0, 2.0]),
    ]
    assert document("coco", tmp_path) == {
        "info": {"description": "Bones in radiographs, found by boneseg"},
        "images": [{"id": 1, "file_name": "knee.png", "width": WIDTH, "height": HEIGHT}],
        "annotations": [
            {
                "id": number,
                "image_id": 1,
                "category_id": category,
                "segmentation": {
                    "size": [HEIGHT, WIDTH],
                    "counts": coco.encode(np.asfortranarray(mask, np.uint8))["counts"].decode(),
                },
                "area": area,
                "bbox": box,
                "iscrowd": 0,
            }
            for number, (mask, category, area, box) in enumerate(pieces, start=1)
        ],
        "categories": CATEGORIES,
    }


def test_polygons_of_coco_are_written_in_full(tmp_path: Path) -> None:
    found = document("coco-polygons", tmp_path)
    assert found["categories"] == CATEGORIES
    assert [one["id"] for one in found["annotations"]] == [1, 2, 3]
    femur, _, rest = found["annotations"]
    numbers = {kind["name"]: kind["id"] for kind in CATEGORIES}
    for one, label, box in ((femur, "femur", [5, 3, 4, 6]), (rest, "bone", [20, 16, 1, 2])):
        (corners,) = one.pop("segmentation")
        points = np.reshape(corners, (-1, 2))
        assert one.pop("bbox") == [*points.min(axis=0), *np.ptp(points, axis=0)]
        assert points.min(axis=0) == pytest.approx(box[:2], abs=0.5)
        assert one.pop("area") == pytest.approx(area(points), abs=0.01)
        assert one.pop("category_id") == numbers[label]
        assert one == {"id": one["id"], "image_id": 1, "iscrowd": 0}


def test_labelme_is_written_in_full(tmp_path: Path) -> None:
    found = document("labelme", tmp_path)
    shapes = found.pop("shapes")
    assert found == {
        "version": "5.5.0",
        "flags": {},
        "imagePath": "knee.png",
        "imageData": None,
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
    }
    assert [shape["label"] for shape in shapes] == ["femur", "left hip bone", "bone"]
    for shape in shapes:
        assert {
            name: value for name, value in shape.items() if name not in ("label", "points")
        } == {
            "group_id": None,
            "description": "",
            "shape_type": "polygon",
            "flags": {},
        }


def test_label_studio_is_written_in_full(tmp_path: Path) -> None:
    (task,) = document("label-studio", tmp_path)
    assert task.keys() == {"data", "predictions"}
    (prediction,) = task["predictions"]
    names = ["femur", "left hip bone", "bone"]
    assert [one["id"] for one in prediction["result"]] == ["femur", "left-hip-bone", "bone"]
    assert [one["value"]["brushlabels"] for one in prediction["result"]] == [[one] for one in names]
    assert {(one["original_width"], one["original_height"]) for one in prediction["result"]} == {
        (WIDTH, HEIGHT)
    }


def test_cvat_is_written_in_full(tmp_path: Path) -> None:
    text = written("cvat", two_bones(tmp_path), tmp_path).read_text(encoding="utf-8")
    mask = 'source="auto" occluded="0" rle='
    assert (
        text
        == f"""<?xml version='1.0' encoding='utf-8'?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <size>1</size>
      <mode>annotation</mode>
      <labels>
        <label>
          <name>bone</name>
        </label>
        <label>
          <name>femur</name>
        </label>
        <label>
          <name>left hip bone</name>
        </label>
      </labels>
    </task>
  </meta>
  <image name="knee.png" width="24" height="20" id="0">
    <mask label="femur" {mask}"0, 24" left="5" top="3" width="4" height="6" z_order="0" />
    <mask label="left hip bone" {mask}"0, 3, 1, 3, 3, 2" left="2" top="12" width="4" height="3" \
z_order="0" />
    <mask label="bone" {mask}"0, 2" left="20" top="16" width="1" height="2" z_order="0" />
  </image>
</annotations>"""
    )
    by_hand = written("cvat", replace(two_bones(tmp_path), model=None), tmp_path)
    assert by_hand.read_text(encoding="utf-8") == text.replace('"auto"', '"manual"')


def test_yolo_is_written_in_full(tmp_path: Path) -> None:
    one = replace(two_bones(tmp_path), mask=FEMUR)
    first, *numbers = written("yolo", one, tmp_path).read_text(encoding="utf-8").split(" ")
    assert first == "0" and numbers[-1].endswith("\n")
    assert all(len(number.strip()) == len("0.12345678") for number in numbers)
    points = np.array(numbers, float).reshape(-1, 2) * (WIDTH, HEIGHT)
    assert points.min(axis=0) == pytest.approx([5, 3], abs=0.5)
    assert points.max(axis=0) == pytest.approx([9, 9], abs=0.5)


@pytest.mark.parametrize("dicom", [False, True], ids=["picture", "DICOM"])
def test_seg_nrrd_is_written_in_full(dicom: bool, tmp_path: Path) -> None:
    path = written("nrrd", two_bones(tmp_path, dicom=dicom), tmp_path)
    data, header = nrrd.read(str(path))
    assert data.dtype == np.uint8 and data.shape == (WIDTH, HEIGHT, 1)
    assert np.array_equal(data[:, :, 0].T, FEMUR + 2 * HIP + 3 * REST)
    axes = header.pop("space directions")
    assert np.array_equal(axes, np.diag([0.2, 0.5, 1.0]) if dicom else np.eye(3))
    assert np.array_equal(header.pop("space origin"), [0, 0, 0])
    assert header.pop("sizes").tolist() == [WIDTH, HEIGHT, 1]
    segments = [
        {name.partition("_")[2]: header.pop(name) for name in list(header) if name[:8] == key}
        for key in ("Segment0", "Segment1", "Segment2")
    ]
    assert header == {
        "type": "uint8",
        "dimension": 3,
        "space": "left-posterior-superior",
        "kinds": ["domain"] * 3,
        "encoding": "gzip",
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ConversionParameters": "",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
        "boneseg_spacing": "detector" if dicom else "unknown",
    }
    tags = (
        "Segmentation.Status:inprogress|TerminologyEntry:Segmentation category and type - 3D "
        "Slicer General Anatomy list~SCT^123037004^Anatomical Structure~SCT^{}~^^~Anatomic codes "
        "- DICOM master list~^^~^^|"
    )
    rows = [
        ("Femur", "Femur", colour_of("femur"), "5 8 3 8 0 0", "71341001^Femur"),
        ("Left_hip_bone", "Left hip bone", OTHER, "2 5 12 14 0 0", "272673000^Bone"),
        ("Bone", "Bone", COLOUR, "20 20 16 17 0 0", "272673000^Bone"),
    ]
    for number, (segment, row) in enumerate(zip(segments, rows, strict=True), start=1):
        assert segment == {
            "ID": row[0],
            "Name": row[1],
            "NameAutoGenerated": "0",
            "Color": " ".join(f"{level / 255:.6f}" for level in row[2]),
            "ColorAutoGenerated": "0",
            "Extent": row[3],
            "Tags": tags.format(row[4]),
            "LabelValue": str(number),
            "Layer": "0",
        }


def test_segments_that_overlap_are_layers_of_seg_nrrd(tmp_path: Path) -> None:
    one = replace(
        two_bones(tmp_path), mask=FEMUR | HIP, named={"femur": FEMUR, "toes": FEMUR | HIP}
    )
    data, header = nrrd.read(str(written("nrrd", one, tmp_path)))
    assert np.array_equal(data[0, :, :, 0].T, FEMUR)
    assert np.array_equal(data[1, :, :, 0].T, FEMUR | HIP)
    assert header["kinds"] == ["list", "domain", "domain", "domain"]
    assert np.isnan(header["space directions"][0]).all()
    assert np.array_equal(header["space directions"][1:], np.eye(3))
    facts = [(header[f"Segment{n}_Layer"], header[f"Segment{n}_LabelValue"]) for n in (0, 1)]
    assert facts == [("0", "1"), ("1", "1")]
    assert (
        "SCT^28641004^Phalanx~^^~Anatomic codes - DICOM master list~SCT^56459004^Foot~^^|"
        in (header["Segment1_Tags"])
    )


@pytest.mark.parametrize("dicom", [False, True], ids=["picture", "DICOM"])
def test_nifti_is_written_in_full(dicom: bool, tmp_path: Path) -> None:
    image = nibabel.load(written("nifti", two_bones(tmp_path, dicom=dicom), tmp_path))
    assert image.get_data_dtype() == np.uint8 and image.shape == (WIDTH, HEIGHT, 1)
    assert np.array_equal(np.asarray(image.dataobj)[:, :, 0].T, MASK)
    sides = (0.2, 0.5) if dicom else (1, 1)
    assert np.allclose(image.affine, np.diag([-sides[0], -sides[1], 1, 1]))
    assert image.header.get_xyzt_units()[0] == ("mm" if dicom else "unknown")
    kind = "detector" if dicom else "unknown"
    assert image.header["descrip"].item().decode() == f"boneseg, spacing {kind}"


VERDICT = "chest,frontal,review,chest: ribs over heart and liver are often wrong,0.81"


def test_measurements_are_written_in_full(tmp_path: Path) -> None:
    one = two_bones(tmp_path, dicom=True)
    text = written("measurements", replace(one, mask=FEMUR | REST), tmp_path).read_text()
    assert text == (
        "film,area_px,area_mm2,bone_share,fragments,length_px,length_mm,width_px,width_mm,"
        "angle_degrees,spacing,part,projection,verdict,reason,trust\n"
        f"knee.dcm,26,2.6,0.054167,2,21.9,8.15,7.1,1.84,-21.5,detector,{VERDICT}\n"
    )


def test_fragments_are_written_in_full(tmp_path: Path) -> None:
    one = two_bones(tmp_path, dicom=True)
    slanting = np.eye(HEIGHT, WIDTH, k=2, dtype=bool) & (np.arange(HEIGHT) < 6)[:, None]
    text = written("fragments", replace(one, mask=REST | HIP | slanting), tmp_path).read_text()
    assert text == (
        "film,piece,x,y,area_px,area_mm2,length_px,length_mm,width_px,width_mm,angle_degrees,"
        "spacing\n"
        "knee.dcm,1,3.9,13.4,8,0.8,5.0,1.68,3.3,0.88,-18.4,detector\n"
        "knee.dcm,2,5.0,3.0,6,0.6,8.5,3.23,1.4,0.37,-21.8,detector\n"
        "knee.dcm,3,20.5,17.0,2,0.2,2.0,1.0,1.0,0.2,0.0,detector\n"
    )
