"""Masks in the files of other programs: what is written is read back; what others write is, too."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import nrrd
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from boneseg.dataset.audit import check_dataset
from boneseg.dataset.convert import convert_dataset
from boneseg.dataset.open import open_dataset
from boneseg.errors import DatasetError, MaskError, UsageError
from boneseg.evaluation.evaluate import evaluate_masks
from boneseg.masks.formats import FORMATS
from boneseg.masks.formats.coco import unpacked as coco_unpacked
from boneseg.masks.formats.label_studio import packed, unpacked
from boneseg.masks.formats.png import write_mask
from boneseg.masks.read import read_mask
from tests.support.films import DATA, needs_data
from tests.support.readings import blobs, dicom_film, picture, reading

Mask = NDArray[np.bool_]
MASK = blobs()
DRAWN = [kind for kind, form in FORMATS.items() if form.drawn]
READ = [kind for kind in DRAWN if kind not in ("overlay", "measurements")]
FRAME = (60, 80)
masks = array_shapes(min_dims=2, max_dims=2, min_side=16, max_side=24).flatmap(
    lambda shape: arrays(bool, shape, elements=st.booleans(), fill=st.booleans())
)


def boneseg(*words: object) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-c", "from boneseg.cli import main; main()", *map(str, words)]
    return subprocess.run(call, capture_output=True, text=True, check=False)


def dataset(root: Path, *names: str, dicom: bool = False) -> Path:
    """A folder of films that all have the same mask."""
    for name in names:
        if dicom:
            dicom_film(root / "images" / f"{name}.dcm")
        else:
            picture(root / "images" / f"{name}.png")
        (root / "masks").mkdir(parents=True, exist_ok=True)
        write_mask(root / "masks" / f"{name}.png", MASK)
    return root


def drawn(root: Path, file: str, content: Any, *films: str) -> Path:
    """Films, and one file of annotations in their masks folder."""
    for film in films or ("knee.png",):
        picture(root / "images" / film)
    path = root / "masks" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return root


def only_mask(root: Path, **more: Any) -> Mask:
    (case,) = open_dataset(root, **more).cases
    return case.read_mask(FRAME)


# --- there and back ---


@pytest.mark.parametrize("kind", READ)
@given(mask=masks)
@settings(max_examples=12, suppress_health_check=list(HealthCheck))
def test_every_mask_comes_back_pixel_for_pixel(
    kind: str, mask: Mask, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root, form = tmp_path_factory.mktemp("film"), FORMATS[kind]
    make, suffix = (dicom_film, "dcm") if kind == "dicom-seg" else (picture, "png")
    film = make(root / "images" / f"knee.{suffix}", *mask.shape)
    path = root / "masks" / (form.document or f"knee{form.suffix}")
    path.parent.mkdir()
    one = reading(film, mask)
    if form.document:
        form.write_document(path, [form.entry(one)])
    else:
        form.write(path, one)
    if kind == "yolo" and not mask.any():
        return  # an empty file, which is no mask where it lies alone
    (case,) = open_dataset(root).cases
    assert np.array_equal(case.read_mask((mask.shape[0], mask.shape[1])), mask)


@pytest.mark.parametrize("kind", [kind for kind in READ if kind != "dicom-seg"])
def test_a_dataset_is_converted_and_back(kind: str, tmp_path: Path) -> None:
    root = dataset(tmp_path / "data", "a", "b")
    assert not any(one.error for one in convert_dataset(open_dataset(root), tmp_path / "x", [kind]))
    other = open_dataset(None, images=root / "images", masks=tmp_path / "x")
    assert [case.name for case in other.cases] == ["a", "b"]
    assert check_dataset(other).bone_share == pytest.approx((MASK.mean(),) * 3)
    convert_dataset(other, tmp_path / "y", ["mask"])
    for name in ("a", "b"):
        assert np.array_equal(read_mask(tmp_path / "y" / f"{name}_mask.png"), MASK)


@pytest.mark.parametrize(
    "name",
    ["knee+left", "a&b", "a#b", "a%20b", "50%", "a;b", "q?", "ü", "d=e"],
)
@pytest.mark.parametrize("kind", ["label-studio", "coco"])
def test_films_of_any_name_are_converted_and_back(kind: str, name: str, tmp_path: Path) -> None:
    root = dataset(tmp_path / "data", name)
    convert_dataset(open_dataset(root), tmp_path / "x", [kind])
    other = open_dataset(None, images=root / "images", masks=tmp_path / "x")
    assert [case.name for case in other.cases] == [name]


def test_dicom_films_are_converted_and_back_whatever_the_files_are_called(tmp_path: Path) -> None:
    root = dataset(tmp_path / "data", "a", "b", dicom=True)
    convert_dataset(open_dataset(root), tmp_path / "x", ["dicom-seg"])
    for number, path in enumerate(sorted((tmp_path / "x").iterdir())):
        path.rename(path.with_name(f"IM{number:04}"))  # as a PACS would name them
    other = open_dataset(None, images=root / "images", masks=tmp_path / "x")
    assert [case.name for case in other.cases] == ["a", "b"]
    assert all(np.array_equal(case.read_mask(FRAME), MASK) for case in other.cases)
    (tmp_path / "x" / "IM0000").rename(tmp_path / "x" / "b.dcm")
    (tmp_path / "x" / "IM0001").unlink()
    (root / "images" / "a.dcm").unlink()
    with pytest.raises(DatasetError, match="refers to a film other than"):
        open_dataset(None, images=root / "images", masks=tmp_path / "x")


@needs_data
@pytest.mark.parametrize("part", ["legs", "spine", "knee-femur"])
def test_real_masks_come_back_from_polygons(part: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    names = sorted(path.name for path in (DATA / part / "masks").glob("*.png"))[::30][:3]
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
        for name in names:
            shutil.copy(DATA / part / folder / name, root / folder)
    for tolerance, least in ((0.35, 1.0), (0.5, 0.999)):
        out = tmp_path / f"{tolerance}"
        convert_dataset(open_dataset(root), out, ["labelme"], tolerance=tolerance)
        back = open_dataset(None, images=root / "images", masks=out)
        for case in back.cases:
            truth = read_mask(root / "masks" / f"{case.name}.png")
            assert (case.read_mask((truth.shape[0], truth.shape[1])) == truth).mean() >= least


@given(masks)
def test_run_lengths_are_those_of_their_own_libraries(mask: Mask) -> None:
    counts = coco.encode(np.asfortranarray(mask, np.uint8))["counts"]
    values = np.repeat(np.arange(len(coco_unpacked(counts))) % 2 == 1, coco_unpacked(counts))
    assert np.array_equal(values.reshape(mask.shape, order="F"), mask)
    brushed = unpacked(packed(mask), 4 * mask.size).reshape(*mask.shape, 4)
    assert np.array_equal(brushed, np.repeat(mask[..., None], 4, axis=-1) * 255)


def test_brush_masks_with_single_words_are_read() -> None:
    """What Label Studio itself may write: two words in a row, one by one; then a repetition."""
    bits = f"{8:032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    bits += "0" + "00" + f"{1:03b}" + f"{1:08b}{2:08b}" + "1" + "01" + f"{5:04b}" + f"{255:08b}"
    bits += "0" * (-len(bits) % 8)
    data = [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]
    assert unpacked(data, 8).tolist() == [1, 2, *[255] * 6]


# --- what others write ---

SQUARE = [[10, 10], [30, 10], [30, 40], [10, 40]]
HOLE = [[15, 15], [25, 15], [25, 35], [15, 35]]


def square(hole: bool = False) -> Mask:
    mask = np.zeros(FRAME, bool)
    mask[10:40, 10:30] = True
    if hole:
        mask[15:35, 15:25] = False
    return mask


def labelme(*shapes: tuple[str, Any], size: tuple[int, int] | None = FRAME, **more: Any) -> Any:
    """A LabelMe document of polygons, each with its label."""
    polygons = [{"label": label, "points": points} | more for label, points in shapes]
    document: dict[str, Any] = {"version": "5.0.0", "shapes": polygons, "imagePath": "x.png"}
    return document | ({"imageHeight": size[0], "imageWidth": size[1]} if size else {})


def test_labels_are_one_bone_and_a_hole_is_cut_out(tmp_path: Path) -> None:
    two = labelme(("femur", SQUARE), ("tibia", [[50, 10], [60, 10], [60, 20], [50, 20]]))
    both = only_mask(drawn(tmp_path / "a", "knee.json", two))
    assert both.sum() == 600 + 100
    with_hole = labelme(("bone", SQUARE), ("hole", HOLE), size=None)
    assert np.array_equal(only_mask(drawn(tmp_path / "b", "knee.json", with_hole)), square(True))


def test_a_label_is_chosen_and_an_unknown_one_is_refused_with_those_there(tmp_path: Path) -> None:
    two = labelme(("femur", SQUARE), ("tibia", [[50, 10], [60, 10], [60, 20], [50, 20]]))
    root = drawn(tmp_path, "knee.json", two)
    assert np.array_equal(only_mask(root, labels=["femur"]), square())
    assert only_mask(root, labels=["femur", "tibia"]).sum() == 700
    with pytest.raises(UsageError, match="--label patella: is in no mask; available: femur, tibia"):
        open_dataset(root, labels=["patella"])
    write_mask(root / "masks" / "hip.png", MASK)
    picture(root / "images" / "hip.png")
    with pytest.raises(UsageError, match="is an image and has no labels"):
        open_dataset(root, labels=["femur"])


def test_what_nobody_is_sure_of_is_refused_with_the_labels_there(tmp_path: Path) -> None:
    root = drawn(tmp_path, "knee.json", labelme(("bone", SQUARE), ("ignore", HOLE)))
    with pytest.raises(MaskError, match="labels bone, ignore, unclear whether ignore is bone"):
        only_mask(root)
    assert np.array_equal(only_mask(root, labels=["bone"]), square())


@pytest.mark.parametrize("kind", ["rectangle", "line", "point", "linestrip"])
def test_what_follows_no_bone_is_refused_unless_other_labels_are_chosen(
    kind: str, tmp_path: Path
) -> None:
    document = labelme(("bone", SQUARE))
    document["shapes"].append({"label": "box", "points": [[1, 1], [2, 2]], "shape_type": kind})
    root = drawn(tmp_path, "knee.json", document)
    with pytest.raises(MaskError, match=f"a {kind} labelled box, which does not follow"):
        only_mask(root)
    assert np.array_equal(only_mask(root, labels=["bone"]), square())


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


def coco_document(*annotations: Any, films: tuple[str, ...] = ("knee.png",)) -> Any:
    images = [
        {"id": number, "file_name": film, "height": 60, "width": 80}
        for number, film in enumerate(films, start=7)
    ]
    categories = [{"id": 3, "name": "femur"}, {"id": 4, "name": "tibia"}]
    return {"images": images, "annotations": list(annotations), "categories": categories}


def flat(points: Any) -> list[float]:
    return [place for point in points for place in point]


def test_coco_polygons_and_both_kinds_of_run_lengths(tmp_path: Path) -> None:
    runs = coco.encode(np.asfortranarray(square(True), np.uint8))
    text = {"size": list(FRAME), "counts": runs["counts"].decode()}
    numbers = {"size": list(FRAME), "counts": coco_unpacked(runs["counts"])}
    for number, segmentation in enumerate((text, numbers, [flat(SQUARE)])):
        one = {"image_id": 7, "category_id": 3, "segmentation": segmentation}
        root = drawn(tmp_path / str(number), "instances.json", coco_document(one))
        assert np.array_equal(only_mask(root), square(hole=number < 2))
        assert np.array_equal(only_mask(root, labels=["femur"]), square(hole=number < 2))


def test_coco_names_films_that_are_there_or_not(tmp_path: Path) -> None:
    one = {"image_id": 7, "category_id": 3, "segmentation": [flat(SQUARE)]}
    document = coco_document(one, films=("train/knee.png", "gone.png"))
    root = drawn(tmp_path, "instances.json", document, "knee.png", "hip.png")
    found = open_dataset(root)
    assert [case.name for case in found.cases] == ["knee"]
    assert [path.name for path in found.unpaired_masks] == ["gone.png"]
    assert [path.name for path in found.unpaired_images] == ["hip.png"]
    details = " ".join(problem.detail for problem in check_dataset(found).problems)
    assert "gone.png: has no film" in details


def test_coco_without_any_of_the_films_is_told(tmp_path: Path) -> None:
    root = drawn(tmp_path, "instances.json", coco_document(films=("other.png",)))
    done = boneseg("check", root)
    assert done.returncode == 1
    assert "other.png: has no film" in done.stdout
    assert "no mask matches a film by name" in done.stdout


def test_one_file_may_stand_in_place_of_the_folder(tmp_path: Path) -> None:
    one = {"image_id": 7, "category_id": 3, "segmentation": [flat(SQUARE)]}
    root = drawn(tmp_path / "data", "instances.json", coco_document(one))
    file = (root / "masks" / "instances.json").rename(tmp_path / "data" / "instances.json")
    (root / "masks").rmdir()
    assert np.array_equal(only_mask(root), square())  # as tools export it, beside images/
    (case,) = open_dataset(None, images=root / "images", masks=file).cases
    assert np.array_equal(case.read_mask(FRAME), square())


def test_films_and_annotations_may_lie_in_one_folder(tmp_path: Path) -> None:
    picture(tmp_path / "knee.png")
    (tmp_path / "knee.json").write_text(json.dumps(labelme(("bone", SQUARE))))  # as LabelMe saves
    found = open_dataset(None, images=tmp_path, masks=tmp_path)
    assert [(case.image.name, case.mask.name) for case in found.cases] == [
        ("knee.png", "knee.json")
    ]
    study = tmp_path / "study"  # as it comes from a PACS
    film = dicom_film(study / "IM0001")
    FORMATS["dicom-seg"].write(study / "IM0002", reading(film, MASK))
    (case,) = open_dataset(None, images=study, masks=study).cases
    assert (case.image.name, case.mask.name) == ("IM0001", "IM0002")
    assert np.array_equal(case.read_mask(FRAME), MASK)


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<image id="0" name="set/knee.png" width="80" height="60">
  <polygon label="hole" points="15.0,15.0;25.0,15.0;25.0,35.0;15.0,35.0" z_order="1"/>
  <polygon label="bone" points="10.00,10.00;30.00,10.00;30.00,40.00;10.00,40.00" z_order="0"/>
  {}<tag label="left"/>
</image></annotations>"""


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


def task(*results: Any, image: str = "/data/upload/1/ab12cd34-knee.png", **more: Any) -> Any:
    return {"data": {"image": image}, "annotations": [{"result": list(results)}]} | more


def polygon_result(points: Any, label: str = "bone") -> Any:
    height, width = FRAME
    parts = [[100 * x / width, 100 * y / height] for x, y in points]
    value = {"points": parts, "polygonlabels": [label]}
    sizes = {"original_width": width, "original_height": height}
    return {"type": "polygonlabels", "value": value, **sizes}


@pytest.mark.parametrize(
    "image",
    [
        "/data/upload/1/ab12cd34-knee.png",
        "/data/local-files/?d=films/knee.png",
        "s3://bucket/films/knee.png",
        "http://host/x/knee.png?token=1",
    ],
)
def test_label_studio_polygons_by_any_address(image: str, tmp_path: Path) -> None:
    done = task(polygon_result(SQUARE), polygon_result(HOLE, "hole"), image=image)
    root = drawn(tmp_path, "project.json", [done])
    assert np.array_equal(only_mask(root), square(hole=True))


@pytest.mark.parametrize(
    "data",
    [
        {"patient": "A1", "image": "/data/upload/1/ab12cd34-knee.png"},
        {"patient": "A1", "film": "s3://bucket/knee.png"},
        {"thumbnail": "small.png", "image": "knee"},
    ],
)
def test_label_studio_films_may_follow_other_columns(data: Any, tmp_path: Path) -> None:
    root = drawn(tmp_path, "project.json", [task(polygon_result(SQUARE)) | {"data": data}])
    assert np.array_equal(only_mask(root), square())


def labelled_apart(kind: str, label: str, **value: Any) -> list[Any]:
    """A region and its label, as the tags Brush, Polygon and so on make them with Labels."""
    sizes = {"original_width": FRAME[1], "original_height": FRAME[0], "id": label}
    return [
        sizes | {"type": kind, "value": value},
        sizes | {"type": "labels", "value": value | {"labels": [label]}},
        sizes | {"type": "choices", "value": value | {"choices": ["sure"]}},
    ]


def bitmask(mask: Mask) -> str:
    """As Label Studio has it: black on transparent."""
    pixels, file = np.zeros((*mask.shape, 4), np.uint8), io.BytesIO()
    pixels[..., 3] = mask * 255
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def test_label_studio_regions_are_joined_to_their_labels(tmp_path: Path) -> None:
    points = polygon_result(SQUARE)["value"]["points"]
    hole = packed(square() & ~square(hole=True))
    results = [
        *labelled_apart("polygon", "bone", points=points),
        *labelled_apart("brush", "hole", format="rle", rle=hole),
    ]
    root = drawn(tmp_path, "project.json", [task(*results)])
    assert np.array_equal(only_mask(root), square(hole=True))
    assert np.array_equal(only_mask(root, labels=["bone"]), square())


def test_label_studio_bitmasks_are_what_is_not_transparent(tmp_path: Path) -> None:
    one = labelled_apart("bitmask", "bone", imageDataURL=bitmask(MASK))
    assert np.array_equal(only_mask(drawn(tmp_path / "a", "p.json", [task(*one)])), MASK)
    value = {"imageDataURL": bitmask(MASK), "bitmasklabels": ["bone"]}
    (own, *_) = labelled_apart("bitmasklabels", "bone", **value)
    assert np.array_equal(only_mask(drawn(tmp_path / "b", "p.json", [task(own)])), MASK)
    (small, *_) = labelled_apart("bitmasklabels", "bone", imageDataURL=bitmask(MASK[1:]))
    with pytest.raises(MaskError, match="a bitmask labelled unlabelled is damaged"):
        only_mask(drawn(tmp_path / "c", "p.json", [task(small)]), labels=["unlabelled"])


@pytest.mark.parametrize(
    ("kind", "told"), [("rectangle", "a box"), ("vector", "a line"), ("spline", "a spline")]
)
def test_label_studio_regions_that_cannot_be_painted_are_refused(
    kind: str, told: str, tmp_path: Path
) -> None:
    results = [polygon_result(SQUARE), *labelled_apart(kind, "femur", x=1, y=1)]
    root = drawn(tmp_path, "project.json", [task(*results)])
    with pytest.raises(MaskError, match=f"holds {told} labelled femur, which does not follow"):
        only_mask(root)
    assert np.array_equal(only_mask(root, labels=["bone"]), square())


def test_label_studio_tasks_without_one_clear_annotation(tmp_path: Path) -> None:
    open_task = {"data": {"image": "hip.png"}, "predictions": [{"result": []}]}
    done = task(polygon_result(SQUARE))
    root = drawn(tmp_path / "a", "project.json", [done, open_task], "knee.png", "hip.png")
    assert [path.name for path in open_dataset(root).unpaired_images] == ["hip.png"]
    with pytest.raises(DatasetError, match="no task has an annotation"):
        open_dataset(drawn(tmp_path / "b", "project.json", [open_task], "hip.png"))
    two = done | {"annotations": done["annotations"] * 2}
    with pytest.raises(MaskError, match=r"ab12cd34-knee.png: holds 2 annotations of this film"):
        only_mask(drawn(tmp_path / "c", "project.json", [two]))


def test_yolo_files_without_bone_count_beside_others(tmp_path: Path) -> None:
    line = "0 " + " ".join(f"{x / 80} {y / 60}" for x, y in SQUARE)
    root = drawn(tmp_path, "knee.txt", line, "knee.png", "hip.png")
    (root / "masks" / "hip.txt").touch()
    (root / "masks" / "README.txt").write_text("drawn by two readers")
    hip, knee = open_dataset(root).cases
    assert np.array_equal(knee.read_mask(FRAME), square())
    assert not hip.read_mask(FRAME).any()
    assert open_dataset(root).unpaired_masks == ()


def test_slicer_s_layers_names_and_cut_down_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "knee.png")
    (tmp_path / "masks").mkdir()
    layers = np.zeros((2, 20, 30, 1), np.uint8)  # x, y: the square alone
    layers[0], layers[1, 5:15, 5:25] = 1, 3
    header = {
        "space": "left-posterior-superior",
        "space directions": np.array([[np.nan] * 3, [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        "kinds": ["list", "domain", "domain", "domain"],
        "space origin": [10, 10, 0],
        "Segmentation_ReferenceImageExtentOffset": "10 10 0",
        "Segment0_Name": "Femur",
        "Segment0_LabelValue": "1",
        "Segment0_Layer": "0",
        "Segment1_Name": "hole",
        "Segment1_LabelValue": "3",
        "Segment1_Layer": "1",
    }
    nrrd.write(str(tmp_path / "masks" / "knee.seg.nrrd"), layers, header)
    assert np.array_equal(only_mask(tmp_path), square(hole=True))
    assert np.array_equal(only_mask(tmp_path, labels=["Femur"]), square())


def segments(path: Path, **facts: Any) -> Path:
    """A `.seg.nrrd` of one layer: a square of 1, in a frame of 2; its header, as far as it goes."""
    frame = np.where(square(hole=True), np.uint8(2), square().astype(np.uint8))
    axes = {"space": "left-posterior-superior", "space directions": np.eye(3)}
    path.parent.mkdir(parents=True, exist_ok=True)
    nrrd.write(str(path), frame.T[:, :, None], axes | {"space origin": np.zeros(3)} | facts)
    return path


def test_segments_without_numbers_of_layers_share_the_one_there_is(tmp_path: Path) -> None:
    facts = {"Segment0_Name": "Marrow", "Segment1_Name": "Cortex", "Segment1_LabelValue": "2"}
    path = segments(tmp_path / "knee.seg.nrrd", **facts)
    assert np.array_equal(read_mask(path, labels=["Cortex"]), square(hole=True))
    assert np.array_equal(read_mask(path), square())


@pytest.mark.parametrize(
    ("space", "sides"), [("LPS", [1, 1, 1]), ("RAS", [-1, -1, 1]), ("LAS", [1, -1, 1])]
)
def test_axes_may_be_named_by_their_letters(space: str, sides: list[int], tmp_path: Path) -> None:
    facts = {"space": space, "space directions": np.diag(sides)}
    assert np.array_equal(read_mask(segments(tmp_path / "a.seg.nrrd", **facts)), square())
    turned = facts | {"space directions": np.diag([1, -1, 1]) * sides}
    with pytest.raises(MaskError, match="is turned or mirrored against its film"):
        read_mask(segments(tmp_path / "b.seg.nrrd", **turned))


@pytest.mark.parametrize(
    "facts",
    [
        {"Segment0_Name": "Femur", "Segment0_Layer": "3"},
        {"Segment0_Name": "Femur", "Segment0_Layer": "-1"},
        {"Segment0_Name": "Femur", "Segment0_LabelValue": "x"},
        {"Segmentation_ReferenceImageExtentOffset": "a b c"},
        {"Segmentation_ReferenceImageExtentOffset": "3"},
    ],
    ids=str,
)
def test_odd_headers_of_nrrd_are_told_in_one_line(facts: Any, tmp_path: Path) -> None:
    with pytest.raises(MaskError, match=r"knee.seg.nrrd: is damaged, or is not NRRD"):
        read_mask(segments(tmp_path / "knee.seg.nrrd", **facts))


@pytest.mark.parametrize(
    "affine", [np.eye(4), np.diag([-1, 1, 1, 1]), np.eye(4)[[1, 0, 2, 3]]], ids=str
)
def test_a_nifti_that_lies_in_another_way_is_refused(affine: Any, tmp_path: Path) -> None:
    picture(tmp_path / "images" / "knee.png")
    (tmp_path / "masks").mkdir()
    volume = square().T[:, :, None].astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(volume, affine), tmp_path / "masks" / "knee.nii.gz")
    with pytest.raises(MaskError, match="is turned or mirrored against its film"):
        only_mask(tmp_path)


def test_values_of_a_nifti_are_labels(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "knee.png")
    (tmp_path / "masks").mkdir()
    values = square() + np.uint8(4) * blobs()
    volume = values.T[:, :, None]
    affine = np.diag([-1, -1, 1, 1])
    nibabel.save(nibabel.Nifti1Image(volume, affine), tmp_path / "masks" / "knee.nii.gz")
    assert np.array_equal(only_mask(tmp_path), values > 0)
    assert np.array_equal(only_mask(tmp_path, labels=["1"]), values == 1)
    with pytest.raises(UsageError, match="available: 1, 4, 5"):
        open_dataset(tmp_path, labels=["bone"])


# --- bad files ---


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("knee.json", "{", "is damaged, or is not JSON"),
        ("knee.json", "{}", "is neither LabelMe, nor COCO, nor Label Studio"),
        ("knee.json", {"shapes": [{"label": "bone"}]}, "is damaged, or is not LabelMe JSON"),
        ("knee.json", labelme(("bone", [[1, 1], [2, 2]])), "a polygon of fewer than 3 points"),
        ("knee.json", labelme(("bone", [[1, 1], [2, "x"], [3, 3]])), "is damaged"),
        ("knee.json", labelme(("bone", [[1, 1], [float("nan"), 2], [3, 3]])), "is damaged"),
        ("knee.json", labelme(("bone", SQUARE), size=(61, 80)), "mask is 61 x 80 pixels but"),
        ("knee.json", labelme(("bone", [[1, 1], [1e300, 2], [3, 3]])), "is damaged"),
        (
            "knee.json",
            labelme(("bone", [[1, 1], [2, 2]]), shape_type="mask", mask="no"),
            "a mask labelled bone is damaged",
        ),
        (
            "a.json",
            coco_document({"image_id": 9}, films=()),
            "draws on image 9, which it does not list",
        ),
        (
            "a.json",
            coco_document({"image_id": 7, "category_id": 3, "bbox": [1, 1, 5, 5]}),
            "a box labelled femur",
        ),
        (
            "a.json",
            coco_document(
                {
                    "image_id": 7,
                    "category_id": 3,
                    "segmentation": {"size": [60, 80], "counts": [5, 5]},
                }
            ),
            "labelled femur is damaged",
        ),
        *(
            (
                "a.json",
                coco_document(
                    {
                        "image_id": 7,
                        "category_id": 3,
                        "segmentation": {"size": [60, 80], "counts": counts},
                    }
                ),
                "labelled femur is damaged",
            )
            for counts in ([None, 4800], [10**30], 4800)
        ),
        ("a.json", [task(*labelled_apart("brush", "bone", rle=None))], "labelled bone is damaged"),
        ("a.json", [task(*labelled_apart("brush", "bone", rle=[1.5]))], "labelled bone is damaged"),
        ("a.xml", "<annotations", "is damaged, or is not XML"),
        (
            "a.xml",
            '<?xml version="1.0" encoding="x-y"?><annotations/>',
            "is damaged, or is not XML",
        ),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>', "is damaged, or is not XML"),
        ("knee.xml", "<annotation/>", "is not CVAT for images"),
        ("knee.txt", "0 0.1 0.1 0.2 0.2", "a box labelled 0"),
        ("knee.seg.nrrd", "NRRD0004\n", "is damaged, or is not NRRD"),
        (
            "knee.nrrd",
            "NRRD0004\ntype: uint8\ndimension: 2\nsizes: 80 60\nencoding: raw\n"
            "data file: ../images/knee.png\n\n",
            "keeps its pixels in another file",
        ),
        (
            "a.xml",
            CVAT.format(
                '<mask label="b" rle="9999999999" left="0" top="0" width="99999" height="99999"/>'
            ),
            "a mask labelled b unpacks to more than the 400 MB",
        ),
        ("knee.nii", "no", "is damaged, or is not NIFTI"),
        ("knee.dcm", "no", "is damaged, or is not a DICOM file"),
    ],
)
def test_bad_files_are_told_in_one_line(
    file: str, content: Any, words: str, tmp_path: Path
) -> None:
    root = drawn(tmp_path, file, content)
    with pytest.raises((MaskError, DatasetError), match=words) as caught:
        only_mask(root)
    assert str(root / "masks" / file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_film_without_pixels_is_refused(tmp_path: Path) -> None:
    root = drawn(tmp_path, "knee.json", labelme(("bone", SQUARE), size=(-60, 80)))
    with pytest.raises(MaskError, match="says that its film has no pixels"):
        read_mask(root / "masks" / "knee.json")


def test_a_probability_is_no_mask(tmp_path: Path) -> None:
    film = dicom_film(tmp_path / "images" / "knee.dcm")
    (tmp_path / "masks").mkdir()
    path = tmp_path / "masks" / "knee.dcm"
    FORMATS["dicom-seg-fractional"].write(path, reading(film, MASK))
    with pytest.raises(MaskError, match="is a fractional segmentation, not a binary one"):
        only_mask(tmp_path)
    dataset = pydicom.dcmread(path)
    dataset.SegmentationType = "ZAPHOD"  # which could be of its patient
    dataset.save_as(path)
    with pytest.raises(MaskError, match="is a segmentation of another type, not a binary one"):
        only_mask(tmp_path)


def test_a_file_for_many_films_asks_which(tmp_path: Path) -> None:
    root = drawn(tmp_path, "a.json", coco_document(films=("a.png", "b.png")))
    with pytest.raises(MaskError, match=r"holds a.png, b.png; say which film is meant"):
        read_mask(root / "masks" / "a.json")
    assert not read_mask(root / "masks" / "a.json", film="b.png").any()
    with pytest.raises(MaskError, match=r"has no mask for c.png"):
        read_mask(root / "masks" / "a.json", film="c.png")


def test_a_film_of_dicom_is_no_mask(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "knee.png")
    dicom_film(tmp_path / "masks" / "knee.dcm")
    with pytest.raises(MaskError, match="is DICOM, but not a Segmentation"):
        only_mask(tmp_path)


def test_other_json_among_masks_is_passed_over(tmp_path: Path) -> None:
    root = dataset(tmp_path, "a", "b")
    (root / "masks" / "segment.json").write_text('[{"input": "a.png"}]')
    found = open_dataset(root)
    assert (len(found.cases), found.unpaired_masks) == (2, ())


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
    from boneseg.dataset.load import read_films

    root = dataset(tmp_path / "data", "a", "b")
    convert_dataset(open_dataset(root), tmp_path / "x", ["label-studio"])
    other = open_dataset(None, images=root / "images", masks=tmp_path / "x", labels=["bone"])
    assert all(np.array_equal(film.mask, MASK) for film in read_films(other.cases))


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


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--to", "jpeg"], "--to jpeg: unknown format; choose from mask"),
        (["--to", "probability"], "needs a model's probability"),
        (["--to", ","], "--to: no format given"),
        (["--to", "labelme", "--tolerance", "-1"], "--tolerance -1: give 0 or more"),
        (["--to", "labelme", "--label", "femur"], "is an image and has no labels"),
    ],
)
def test_wrong_words_of_convert(words: list[str], told: str, tmp_path: Path) -> None:
    done = boneseg("convert", dataset(tmp_path / "d", "a"), "--out", tmp_path / "x", *words)
    assert done.returncode == 2
    assert told in done.stderr
    assert not (tmp_path / "x").exists()


def test_convert_goes_on_after_a_bad_mask_and_spares_the_dataset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = dataset(tmp_path / "d", "a", "b")
    write_mask(root / "masks" / "a.png", MASK[:50])
    results = convert_dataset(open_dataset(root), tmp_path / "x", ["labelme", "coco"])
    assert "50 x 80 pixels but its film is 60 x 80" in (results[0].error or "")
    written = {path.name for path in (tmp_path / "x").iterdir()}
    assert written == {"b.json", "coco.json", "convert.json"}
    with pytest.raises(UsageError, match="is a folder of the dataset"):
        convert_dataset(open_dataset(root), root / "masks", ["labelme"])


def test_convert_keeps_a_document_and_a_film_of_its_name_apart(tmp_path: Path) -> None:
    root = dataset(tmp_path / "d", "coco", "knee")
    convert_dataset(open_dataset(root), tmp_path / "x", ["labelme", "coco"])
    assert {path.name for path in (tmp_path / "x").iterdir()} == {
        *("coco.json", "coco-2.json", "knee.json", "convert.json")
    }
    assert read_mask(tmp_path / "x" / "coco.json", film="coco.png").sum() == MASK.sum()


def test_words_of_a_file_do_not_break_the_line_of_its_error(tmp_path: Path) -> None:
    path = segments(tmp_path / "knee.seg.nrrd")
    head, _, body = path.read_bytes().partition(b"\n\n")
    for word in ("a\x0bb", "a\x85b", "a\u2028b", "\x1b[31m"):
        lines = [line for line in head.split(b"\n") if not line.startswith(b"encoding")]
        lines.append(f"encoding: {word}".encode())
        path.write_bytes(b"\n".join(lines) + b"\n\n" + body)
        with pytest.raises(MaskError) as caught:
            read_mask(path)
        assert len(str(caught.value).splitlines()) == 1
        assert "\x1b" not in str(caught.value)
