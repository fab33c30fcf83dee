"""What is drawn is painted, or the film that it is on is named; other films are not touched."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import nrrd
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image

from boneseg.dataset.audit import check_dataset
from boneseg.dataset.convert import convert_dataset
from boneseg.dataset.load import read_films
from boneseg.dataset.open import Dataset, open_dataset
from boneseg.errors import BonesegError, DatasetError, MaskError
from boneseg.evaluation.evaluate import evaluate_masks
from boneseg.masks.annotations import cut_off
from boneseg.masks.formats import FORMATS
from boneseg.masks.formats.png import write_mask
from boneseg.masks.read import read_mask
from tests.support.readings import blobs, dicom_film, picture, reading
from tests.unit.masks.formats.test_formats import (
    SHAPE,
    SQUARE,
    label_studio,
    only_mask,
    square,
    yolo_line,
)

Mask = NDArray[np.bool_]
HEIGHT, WIDTH = SHAPE
MASK = blobs()
FILMS = ("a", "b", "c")


def flat(points: Any) -> list[float]:
    return [place for point in points for place in point]


# --- every region paints, or is named ---


def labelme(*polygons: Any) -> Any:
    shapes = [{"label": "bone", "points": points} for points in polygons]
    return {"shapes": shapes, "imageHeight": HEIGHT, "imageWidth": WIDTH}


def coco(*polygons: Any, size: Any = SHAPE) -> Any:
    image = {"id": 1, "file_name": "knee.png", "height": size[0], "width": size[1]}
    one = {"image_id": 1, "category_id": 1, "segmentation": [flat(ring) for ring in polygons]}
    return {"images": [image], "annotations": [one]}


def cvat(*polygons: Any) -> str:
    shapes = "".join(
        '<polygon label="bone" points="{}"/>'.format(";".join(f"{x},{y}" for x, y in ring))
        for ring in polygons
    )
    image = f'<image name="knee.png" width="{WIDTH}" height="{HEIGHT}">{shapes}</image>'
    return f"<annotations>{image}</annotations>"


def studio(*polygons: Any) -> Any:
    document = label_studio("polygon")
    (result,) = document[0]["annotations"][0]["result"]
    results = []
    for ring in polygons:
        points = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in ring]
        results.append(result | {"value": {"points": points, "polygonlabels": ["bone"]}})
    document[0]["annotations"][0]["result"] = results
    return document


def yolo(*polygons: Any) -> str:
    lines = [" ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in ring) for ring in polygons]
    return "".join(f"0 {line}\n" for line in lines)


TOOLS: dict[str, tuple[str, Callable[..., Any]]] = {
    "labelme": ("knee.json", labelme),
    "coco": ("instances.json", coco),
    "cvat": ("annotations.xml", cvat),
    "label-studio": ("project.json", studio),
    "yolo": ("knee.txt", yolo),
}
every_tool = pytest.mark.parametrize("tool", TOOLS)


def painted(root: Path, tool: str, *polygons: Any) -> Mask:
    name, document = TOOLS[tool]
    return only_mask(root, name, document(*polygons))


@every_tool
@pytest.mark.parametrize(
    ("ring", "row", "column", "count"),
    [
        ([[20, 30.6], [40, 30.6], [40, 30.9]], 30, 30, 20),  # thinner than a pixel, lying
        ([[20.1, 10], [20.4, 10], [20.4, 30], [20.1, 30]], 15, 20, 20),  # and upright
        ([[50.2, 20.2], [50.4, 20.2], [50.3, 20.4]], 20, 50, 1),  # smaller than a pixel
        ([[50.5, 20.5]] * 3, 20, 50, 1),  # a point
        ([[10, 10], [20, 10], [10, 10]], 10, 15, 11),  # a line
        ([[80, 60], [80, 60], [80, 60]], 59, 79, 1),  # the film's last corner
    ],
)
def test_a_polygon_without_a_centre_of_a_pixel_paints_those_it_runs_through(
    tool: str, ring: Any, row: int, column: int, count: int, tmp_path: Path
) -> None:
    only = painted(tmp_path / "only", tool, ring)
    assert only[row, column]
    assert abs(int(only.sum()) - count) <= 1
    both = painted(tmp_path / "both", tool, SQUARE, ring)
    assert np.array_equal(both, square() | only)


@every_tool
def test_a_polygon_outside_its_film_is_refused(tool: str, tmp_path: Path) -> None:
    beyond = [[81, 10], [83, 10], [83, 40]]
    with pytest.raises(MaskError, match=r"a polygon labelled (bone|0|1) lies outside its film"):
        painted(tmp_path / "a", tool, SQUARE, beyond)
    cut = painted(tmp_path / "b", tool, [[70, 10], [83, 10], [83, 40], [70, 40]])
    assert np.array_equal(cut, square(70, 10, 80, 40))


@pytest.mark.parametrize("tool", ["labelme", "coco", "cvat", "label-studio"])
def test_polygons_in_parts_of_the_film_are_refused(tool: str, tmp_path: Path) -> None:
    unit = (0.01, 0.01) if tool == "label-studio" else (1 / WIDTH, 1 / HEIGHT)
    parts = [[x * unit[0], y * unit[1]] for x, y in SQUARE]
    with pytest.raises(MaskError, match="all lie between 0 and 1"):
        painted(tmp_path, tool, parts, parts)


@pytest.mark.parametrize("tool", ["labelme", "coco", "cvat"])
def test_the_outline_of_the_first_pixel_is_in_pixels(tool: str, tmp_path: Path) -> None:
    first = np.zeros(SHAPE, bool)
    first[0, 0] = True
    diamond = [[0, 0.5], [0.5, 0], [1, 0.5], [0.5, 1]]
    assert np.array_equal(painted(tmp_path, tool, diamond), first)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0 " + " ".join(map(str, flat(SQUARE))), "outside 0 to 1"),  # px
        ("0 " + " ".join(str(place * 1.3) for place in flat(SQUARE)), "outside 0 to 1"),
        (yolo_line(end=" 0.91"), "odd number of coordinates"),
        (yolo_line(end=" 0.91 7"), "without confidence and track number"),
        (yolo_line(end=" 0.91 1"), "may be a confidence and a track number"),
        (yolo_line(end=" 0.9 0"), "may be a confidence and a track number"),
        (yolo_line("0.5"), "holds no polygons as YOLO writes them"),
        ("0 0.1 0.1 0.9", "odd number of coordinates"),
        ("0 0.1 0.1", "fewer than 3 points"),
        ("0 0.1 0.1 0.2 nan 0.3 0.3", "holds no polygons|outside 0 to 1"),
    ],
)
def test_a_line_of_yolo_that_is_no_polygon_is_refused(line: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(MaskError, match=told):
        only_mask(tmp_path, "knee.txt", f"{yolo_line()}{line}\n")


def test_a_polygon_of_yolo_may_end_at_the_edge_of_its_film(tmp_path: Path) -> None:
    mask = only_mask(tmp_path, "knee.txt", "0 0.25 0.5 0.5 0.5 0.5 1 0.25 1\n")
    assert np.array_equal(mask, square(20, 30, 40, 60))


def test_label_studio_places_beyond_the_film_are_in_pixels(tmp_path: Path) -> None:
    wide = [[x * WIDTH / 100, y * HEIGHT / 100] for x, y in ((10, 10), (300, 10), (300, 400))]
    with pytest.raises(MaskError, match="outside 0 to 100"):
        painted(tmp_path, "label-studio", wide)


@pytest.mark.parametrize("tool", ["labelme", "coco"])
def test_polygons_far_beyond_a_film_of_unknown_size_are_refused(tool: str, tmp_path: Path) -> None:
    name, make = TOOLS[tool]
    wide, near = [[20, 20], [120, 20], [120, 40]], [[70, 10], [83, 10], [83, 40], [70, 40]]
    for index, ring in enumerate((wide, near)):
        document = make(ring)
        for facts in (document, *document.get("images", ())):
            for key in ("imageHeight", "imageWidth", "height", "width"):
                facts.pop(key, None)
        if ring is wide:
            with pytest.raises(MaskError, match="reach 40 px beyond the film, and does not say"):
                only_mask(tmp_path / str(index), name, document)
        else:
            found = only_mask(tmp_path / str(index), name, document)
            assert np.array_equal(found, square(70, 10, 80, 40))


@pytest.mark.parametrize("line", ["bone 0.1 0.1 0.4 0.1 0.4 0.4", "0 0.1 x 0.4 0.1 0.4 0.4"])
def test_a_damaged_file_of_yolo_is_not_taken_for_a_note(line: str, tmp_path: Path) -> None:
    with pytest.raises(MaskError, match=r"knee.txt: holds no polygons as YOLO writes them"):
        only_mask(tmp_path, "knee.txt", line)


def test_check_reports_polygons_that_are_cut_off(tmp_path: Path) -> None:
    for name, x in (("a", 85), ("b", 81)):
        picture(tmp_path / "images" / f"{name}.png")
        path = tmp_path / "masks" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(labelme([[70, 10], [x, 10], [x, 40], [70, 40]])))
    found = [p for p in check_dataset(open_dataset(tmp_path)).problems if p.kind == "cut off"]
    assert [(p.names, p.serious) for p in found] == [(("a",), False)]
    assert "reach 5 px beyond the film" in found[0].detail
    assert cut_off(tmp_path / "masks" / "b.json", SHAPE) == 1


def test_masks_that_reach_beyond_their_film_are_refused(tmp_path: Path) -> None:
    mask = '<mask label="bone" rle="0, 4" left="79" top="0" width="2" height="2"/>'
    beyond = cvat().replace("></image>", f">{mask}</image>")
    with pytest.raises(MaskError, match="a mask labelled bone reaches beyond its film"):
        only_mask(tmp_path / "a", "annotations.xml", beyond)
    edge = beyond.replace("0, 4", "0, 1, 1, 1, 1")  # what lies outside is not bone
    assert only_mask(tmp_path / "b", "annotations.xml", edge).sum() == 2
    header = {"Segmentation_ReferenceImageExtentOffset": "70 0 0", "Segment0_Name": "Bone"}
    nrrd.write(str(tmp_path / "c.seg.nrrd"), np.ones((20, 10, 1), np.uint8), header)
    with pytest.raises(MaskError, match="a segment labelled Bone reaches beyond its film"):
        read_mask(tmp_path / "c.seg.nrrd", SHAPE)


@pytest.mark.parametrize("more", [{}, {"Segment0_Name": "Femur", "Segment0_LabelValue": "1"}])
def test_voxels_of_no_segment_are_labels_of_their_own(more: Any, tmp_path: Path) -> None:
    layers = np.zeros((2, WIDTH, HEIGHT, 1), np.uint8)
    layers[0, 10:30, 10:40], layers[1, 40:50, 10:40] = 1, 2
    path = tmp_path / "knee.seg.nrrd"
    nrrd.write(str(path), layers, {"kinds": ["list", "domain", "domain", "domain"], **more})
    both = square() | square(40, 10, 50, 40)
    assert np.array_equal(read_mask(path, SHAPE), both)
    assert np.array_equal(read_mask(path, SHAPE, labels=["2"]), square(40, 10, 50, 40))
    if more:
        assert np.array_equal(read_mask(path, SHAPE, labels=["Femur"]), square())


def test_a_segment_is_never_the_background(tmp_path: Path) -> None:
    header = {"Segment0_Name": "Bone", "Segment0_LabelValue": "0"}
    nrrd.write(str(tmp_path / "knee.seg.nrrd"), square().T[:, :, None].astype(np.uint8), header)
    with pytest.raises(MaskError, match="is damaged, or is not NRRD"):
        read_mask(tmp_path / "knee.seg.nrrd", SHAPE)


@pytest.mark.parametrize("label", [" hole ", "Background\t", "ignore ", " Void", "", " ", None])
def test_blanks_around_a_label_do_not_make_it_bone(label: Any, tmp_path: Path) -> None:
    document = labelme(SQUARE, SQUARE)
    document["shapes"][1]["label"] = label
    if str(label).strip().casefold() in ("hole", "background"):
        assert not only_mask(tmp_path, "knee.json", document).any()
    else:
        with pytest.raises(MaskError, match="unclear whether"):
            only_mask(tmp_path, "knee.json", document)


@pytest.mark.parametrize("numbers", [(1, 1.0), (1.0, 1), ("1", 1), (1, "1"), ("a ", "a")])
def test_the_type_of_an_id_of_coco_does_not_matter(numbers: Any, tmp_path: Path) -> None:
    document = coco(SQUARE)
    document["images"][0]["id"], document["annotations"][0]["image_id"] = numbers
    document["categories"] = [{"id": "1", "name": "bone"}, {"id": 2}, "femur", None]
    found = only_mask(tmp_path, "all.json", document, labels=["bone"])
    assert np.array_equal(found, square())


@pytest.mark.parametrize("size", [[WIDTH, HEIGHT], [HEIGHT + 1, WIDTH]])
def test_run_lengths_of_another_size_say_so(size: list[int], tmp_path: Path) -> None:
    document = coco(SQUARE)
    counts = [0, size[0] * size[1]]
    document["annotations"][0]["segmentation"] = {"size": size, "counts": counts}
    with pytest.raises(MaskError, match=f"mask is {size[0]} x {size[1]} pixels but its film"):
        only_mask(tmp_path, "all.json", document)


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
    document = labelme() | {"shapes": [shape]}
    assert np.array_equal(only_mask(tmp_path, "knee.json", document), square(10, 17, 30, 18))


@pytest.mark.parametrize("packer", [gzip, bz2])
def test_nrrd_may_be_packed_in_several_streams(packer: Any, tmp_path: Path) -> None:
    name = "knee.seg.nrrd"
    header = {"encoding": "raw", "Segment0_Name": "Femur", "Segment0_LabelValue": "1"}
    nrrd.write(str(tmp_path / name), square().T[:, :, None].astype(np.uint8), header)
    told, _, data = (tmp_path / name).read_bytes().partition(b"\n\n")
    told = told.replace(b"encoding: raw", b"encoding: " + packer.__name__.encode()[:5])
    told = told.replace(b"bz2", b"bzip2").replace(b"Femur", "Fémur".encode())
    packed = packer.compress(data[:999]) + packer.compress(data[999:])
    found = only_mask(tmp_path / "a", name, told + b"\n\n" + packed, labels=["Fémur"])
    assert np.array_equal(found, square())


def segmentation(path: Path) -> pydicom.Dataset:
    film = dicom_film(path.with_name("film.dcm"))
    FORMATS["dicom-seg"].write(path, reading(film, MASK))
    return pydicom.dcmread(path)


def several(path: Path, *masks: Mask) -> None:
    """A SEG of one film with a segment for each mask; 61 x 80 px: frames end within a byte."""
    film = pydicom.dcmread(dicom_film(path.with_name("film.dcm"), *masks[0].shape))
    description = highdicom.seg.SegmentDescription
    bone = pydicom.sr.codedict.codes.SCT.Bone
    segments = [
        description(number, f"bone {number}", bone, bone, "MANUAL")
        for number in range(1, len(masks) + 1)
    ]
    for keyword in ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        setattr(film, keyword, "")
    film.StudyDate = film.StudyTime = film.ReferringPhysicianName = ""
    film.SOPClassUID = pydicom.uid.ComputedRadiographyImageStorage
    made = highdicom.seg.Segmentation(
        source_images=[film],
        pixel_array=np.stack(masks, axis=-1)[None].astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=segments,
        series_instance_uid=pydicom.uid.generate_uid(),
        series_number=1,
        sop_instance_uid=pydicom.uid.generate_uid(),
        instance_number=1,
        manufacturer="x",
        manufacturer_model_name="x",
        software_versions="1",
        device_serial_number="1",
    )
    made.save_as(path, enforce_file_format=True)


def test_every_frame_of_a_segmentation_is_read(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:61, :75]
    masks = [(rows + 2 * columns) % 7 == number for number in range(3)]
    several(tmp_path / "mask.dcm", *masks)
    assert np.array_equal(read_mask(tmp_path / "mask.dcm", (61, 75)), sum(masks) > 0)
    for number, mask in enumerate(masks, start=1):
        found = read_mask(tmp_path / "mask.dcm", (61, 75), labels=[f"bone {number}"])
        assert np.array_equal(found, mask)


@pytest.mark.parametrize("frames", [2, 0])
def test_a_segmentation_of_more_or_fewer_frames_than_it_describes_is_refused(
    frames: int, tmp_path: Path
) -> None:
    found = segmentation(tmp_path / "mask.dcm")
    found.NumberOfFrames = frames
    found.PixelData = found.PixelData * 2
    found.save_as(tmp_path / "mask.dcm")
    with pytest.raises(MaskError, match=f"has {frames} frames but describes 1"):
        read_mask(tmp_path / "mask.dcm", SHAPE)


@pytest.mark.parametrize("keyword", ["Rows", "SegmentSequence", "PixelData", "NumberOfFrames"])
def test_a_segmentation_without_what_it_needs_is_refused(keyword: str, tmp_path: Path) -> None:
    found = segmentation(tmp_path / "mask.dcm")
    delattr(found, keyword)
    found.save_as(tmp_path / "mask.dcm")
    with pytest.raises(MaskError, match=r"mask.dcm: .*(is damaged|not known)"):
        read_mask(tmp_path / "mask.dcm", SHAPE)


def test_a_frame_of_an_unknown_segment_is_refused(tmp_path: Path) -> None:
    found = segmentation(tmp_path / "mask.dcm")
    found.SegmentSequence[0].SegmentNumber = 7
    found.save_as(tmp_path / "mask.dcm")
    with pytest.raises(MaskError, match="is damaged"):
        read_mask(tmp_path / "mask.dcm", SHAPE)


def test_cvat_shapes_without_a_label_and_labels_without_a_region_are_not_lost(
    tmp_path: Path,
) -> None:
    nameless = cvat(SQUARE).replace('label="bone" ', "")
    with pytest.raises(MaskError, match="unclear whether unlabelled is bone"):
        only_mask(tmp_path / "a", "annotations.xml", nameless)
    document = label_studio("polygon")
    lost = {"type": "labels", "id": "x", "value": {"labels": ["femur"], "points": SQUARE}}
    document[0]["annotations"][0]["result"].append(lost)
    with pytest.raises(MaskError, match="has a label whose region is missing"):
        only_mask(tmp_path / "b", "project.json", document)


# --- a fault costs its film ---


def film(path: Path) -> None:
    """A film that no other looks like."""
    noise = np.random.default_rng(sum(path.name.encode())).integers(0, 200, (6, 8), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.kron(noise, np.ones((10, 10), np.uint8)) + square() * np.uint8(55)).save(
        path
    )


def one_bad(root: Path, kind: str) -> Path:
    """Three films with masks of one tool, of which that of b has a polygon of two points."""
    line = [[10, 10], [20, 20]]
    for name in FILMS:
        film(root / "images" / f"{name}.png")
    masks = root / "masks"
    masks.mkdir()
    rings = {name: line if name == "b" else SQUARE for name in FILMS}
    if kind in ("labelme", "empty labelme", "yolo"):
        for name, ring in rings.items():
            text = yolo(ring) if kind == "yolo" else json.dumps(labelme(ring))
            path = masks / f"{name}.{'txt' if kind == 'yolo' else 'json'}"
            path.write_text("" if kind == "empty labelme" and name == "b" else text)
    elif kind == "coco":
        documents = [coco(ring) for ring in rings.values()]
        for number, (name, one) in enumerate(zip(FILMS, documents, strict=True)):
            one["images"][0] |= {"id": number, "file_name": f"{name}.png"}
            one["annotations"][0]["image_id"] = number
        joined = {
            key: [part for one in documents for part in one[key]]
            for key in ("images", "annotations")
        }
        (masks / "instances.json").write_text(json.dumps(joined))
    elif kind == "cvat":
        parts = [cvat(ring).replace("knee.png", f"{name}.png") for name, ring in rings.items()]
        images = "".join(
            part.removeprefix("<annotations>").removesuffix("</annotations>") for part in parts
        )
        (masks / "annotations.xml").write_text(f"<annotations>{images}</annotations>")
    elif kind == "label-studio":
        tasks = [studio(ring)[0] | {"data": {"image": f"{n}.png"}} for n, ring in rings.items()]
        (masks / "project.json").write_text(json.dumps(tasks))
    elif kind == "png":
        for name in FILMS:
            write_mask(masks / f"{name}.png", square())
        (masks / "b.png").write_bytes(b"cut")
    elif kind == "two masks":
        for name in ("a.png", "b.png", "b_mask.png", "c.png"):
            write_mask(masks / name, square())
    elif kind == "two films":
        film(root / "images" / "b.tif")
        for name in FILMS:
            write_mask(masks / f"{name}.png", square())
    elif kind == "two lists":
        one_bad(root / "other", "coco")
        document = json.loads((root / "other" / "masks" / "instances.json").read_text())
        document["images"].append(document["images"][1] | {"id": 9})
        (masks / "instances.json").write_text(json.dumps(document))
    return root


BAD = (
    *("labelme", "empty labelme", "yolo", "coco", "cvat", "label-studio", "png"),
    *("two masks", "two films", "two lists"),
)
every_fault = pytest.mark.parametrize("kind", BAD)


def reason(dataset: Dataset) -> str:
    with pytest.raises(BonesegError) as caught:
        read_films(dataset.cases, faults=dataset.faults)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@every_fault
def test_a_fault_of_one_film_costs_no_other(kind: str, tmp_path: Path) -> None:
    dataset = open_dataset(one_bad(tmp_path / "data", kind))
    results = convert_dataset(dataset, tmp_path / "out", ["mask"])
    (error,) = [result.error for result in results if result.error]
    for name in ("a", "c"):
        assert np.array_equal(read_mask(tmp_path / "out" / f"{name}_mask.png"), square())
    assert not (tmp_path / "out" / "b_mask.png").exists()
    assert "b." in error
    serious = [p.detail for p in check_dataset(dataset).problems if p.serious]
    assert serious == [error]
    write_mask(tmp_path / "out" / "b_mask.png", square())
    evaluation = evaluate_masks(dataset, tmp_path / "out")
    assert [case.name for case in evaluation.summary.cases] == ["a", "c"]
    assert [failure.reason for failure in evaluation.failures] == [error]
    assert reason(dataset) == error


def test_the_command_line_names_the_film_and_does_the_others(tmp_path: Path) -> None:
    root = one_bad(tmp_path / "data", "coco")
    call = [sys.executable, "-c", "from boneseg.cli import main; main()"]
    words = ("convert", str(root), "--to", "png", "--out", str(tmp_path / "out"))
    done = subprocess.run([*call, *words], capture_output=True, text=True, check=False)
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert done.returncode == 1
    assert error.startswith(f"error: {root / 'masks' / 'instances.json'}: b.png: holds a polygon")


def test_training_names_every_film_that_it_cannot_read(tmp_path: Path) -> None:
    root = one_bad(tmp_path, "png")
    (root / "masks" / "c.png").write_bytes(b"cut")
    told = reason(open_dataset(root))
    assert told.startswith(f"{root / 'masks' / 'b.png'}: cannot be read as an image")
    assert "(2 errors in all, in b, c; see boneseg check)" in told


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("film.xml", "<annotations><track/></annotations>", "is a CVAT video export"),
        ("all.json", "{", "is damaged, or is not JSON"),
        ("all.json", "", "is damaged, or is not JSON"),
        ("all.json", "[" * 100_000, "is damaged, or is not JSON"),
        ("other.json", "{}", "is neither LabelMe, nor COCO, nor Label Studio"),
        ("voc.xml", "<annotation/>", "is not CVAT for images"),
    ],
)
def test_the_first_reason_is_kept_where_no_mask_has_a_film(
    name: str, content: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=f"{name}: {told}"):
        only_mask(tmp_path / "a", name, content)
    if "neither" in told or "not CVAT" in told:
        return  # of no interest beside masks
    picture(tmp_path / "b" / "images" / "hip.png")
    (tmp_path / "b" / "masks").mkdir()
    write_mask(tmp_path / "b" / "masks" / "hip.png", square())
    (tmp_path / "b" / "masks" / name).write_text(content)
    dataset = open_dataset(tmp_path / "b")
    assert len(dataset.cases) == len(dataset.faults) == 1
    assert told in dataset.faults[0]


def test_a_fractional_segmentation_is_named_whatever_its_file_is_called(tmp_path: Path) -> None:
    film = dicom_film(tmp_path / "images" / "knee.dcm")
    (tmp_path / "masks").mkdir()
    FORMATS["dicom-seg-fractional"].write(tmp_path / "masks" / "IM1", reading(film, MASK))
    (case,) = open_dataset(tmp_path).cases
    with pytest.raises(MaskError, match="IM1: is a fractional segmentation, not a binary one"):
        case.read_mask(SHAPE)


def test_a_turned_film_of_label_studio_is_named(tmp_path: Path) -> None:
    document = label_studio("polygon")
    document[0]["annotations"][0]["result"][0]["image_rotation"] = 90
    with pytest.raises(MaskError, match=r"project.json: knee.png: is drawn on a turned film"):
        only_mask(tmp_path, "project.json", document)


def test_parts_of_a_file_that_belong_to_no_film_are_named(tmp_path: Path) -> None:
    document = coco(SQUARE)
    document["annotations"] += [{"image_id": 9}, {"category_id": 1}, "x", {"image_id": [1]}]
    document["images"] += [{"id": 5}, "y", {"file_name": "z.png"}]
    picture(tmp_path / "images" / "knee.png")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "all.json").write_text(json.dumps(document))
    dataset = open_dataset(tmp_path)
    (case,) = dataset.cases
    assert np.array_equal(case.read_mask(SHAPE), square())
    assert any("draws on image 9, which it does not list" in fault for fault in dataset.faults)
    assert any("an image without id or file_name" in fault for fault in dataset.faults)
    tasks = [*label_studio("polygon"), "x", {"data": {}}, {"data": 3}, {"annotations": 1}]
    (tmp_path / "masks" / "all.json").write_text(json.dumps(tasks))
    dataset = open_dataset(tmp_path)
    assert np.array_equal(dataset.cases[0].read_mask(SHAPE), square())
    assert [fault.split(": ")[1].split(" names")[0] for fault in dataset.faults] == [
        *("task 2", "task 3", "task 4", "task 5")
    ]


def test_images_of_one_id_cannot_be_told_apart(tmp_path: Path) -> None:
    document = coco(SQUARE)
    document["images"].append(document["images"][0] | {"file_name": "hip.png"})
    document["images"].append(document["images"][0] | {"id": 2, "file_name": "foot.png"})
    for name in ("knee.png", "hip.png", "foot.png"):
        film(tmp_path / "images" / name)
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "all.json").write_text(json.dumps(document))
    foot, hip, knee = open_dataset(tmp_path).cases
    assert not foot.read_mask(SHAPE).any()
    for case, name in ((hip, "hip.png"), (knee, "knee.png")):
        with pytest.raises(MaskError, match=f"{name}: shares its id with another image"):
            case.read_mask(SHAPE)


def test_a_film_without_a_uid_takes_no_other_film_s_mask(tmp_path: Path) -> None:
    """A mask without a UID and a film without one have nothing in common."""
    seen = dicom_film(tmp_path / "images" / "knee.dcm")
    other = pydicom.dcmread(dicom_film(tmp_path / "images" / "hip.dcm"))
    other.SOPInstanceUID = ""
    other.save_as(tmp_path / "images" / "hip.dcm")
    (tmp_path / "masks").mkdir()
    FORMATS["dicom-seg"].write(tmp_path / "masks" / "IM1", reading(seen, MASK))
    film(tmp_path / "images" / "foot.png")
    write_mask(tmp_path / "masks" / "foot.png", square())
    found = {case.name: case.mask.name for case in open_dataset(tmp_path).cases}
    assert found == {"knee": "IM1", "foot": "foot.png"}


def test_a_deflated_segmentation_is_read(tmp_path: Path) -> None:
    found = segmentation(tmp_path / "mask.dcm")
    found.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    found.save_as(tmp_path / "mask.dcm")
    assert np.array_equal(read_mask(tmp_path / "mask.dcm", SHAPE), MASK)


def test_predictions_that_cannot_be_read_are_named_beside_those_that_can(tmp_path: Path) -> None:
    root = one_bad(tmp_path / "data", "two masks")
    (root / "masks" / "b_mask.png").unlink()
    predicted = tmp_path / "predicted"
    predicted.mkdir()
    for name in FILMS:
        write_mask(predicted / f"{name}.png", square())
    (predicted / "all.json").write_text("{")
    evaluation = evaluate_masks(open_dataset(root), predicted)
    assert evaluation.summary.mean["dice"] == 1
    assert ["all.json: is damaged" in one.reason for one in evaluation.failures] == [True]
    with pytest.raises(DatasetError, match=r"all.json: is damaged, or is not JSON"):
        evaluate_masks(open_dataset(root), predicted / "all.json")
