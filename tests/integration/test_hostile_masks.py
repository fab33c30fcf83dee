"""Damaged and hostile masks: one line, quickly, and in little memory."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from boneseg.errors import BonesegError, MaskError
from boneseg.masks.annotations import open_annotations
from boneseg.masks.formats import FORMATS
from boneseg.masks.polygons import fill, keyhole, outlines
from boneseg.masks.read import read_mask
from boneseg.masks.types import MAX_PAINTED
from tests.support.readings import blobs, dicom_film, picture, reading
from tests.support.regions import (
    SHAPE,
    coco_region,
    cvat_region,
    label_studio_region,
    labelme_region,
    yolo_region,
)

MASK = blobs()
HEIGHT, WIDTH = SHAPE
few = settings(max_examples=40, suppress_health_check=list(HealthCheck))

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 99),
    st.sampled_from((10**30, -(10**30), 2**63, 1e308, -1e308, float("inf"), float("nan"), 0.5)),
    st.sampled_from(("", "bone", "0", "polygon", "rle", "knee.png", "\0", "é" * 9)),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(("points", "label", "id", "value", "x")), inner, max_size=3
        ),
    ),
    max_leaves=6,
)


def read_all(path: Path) -> None:
    """Open and read every film of a file; only the project's own errors may be raised."""
    try:
        for drawing in open_annotations(path):
            for shape in (SHAPE, None):
                try:
                    read_mask(path, shape, film=drawing.name or drawing.uid)
                except BonesegError as error:
                    assert "\n" not in str(error)
                    assert str(error).startswith(str(path))
    except BonesegError as error:
        assert "\n" not in str(error)
        assert str(error).startswith(str(path))


def spots(document: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON document: its container and its key."""
    found: list[tuple[Any, Any]] = []
    keys = document.keys() if isinstance(document, dict) else range(len(document))
    for key in list(keys):
        found.append((document, key))
        if isinstance(document[key], dict | list):
            found += spots(document[key])
    return found


DOCUMENTS = {
    "labelme": lambda: labelme_region("polygon"),
    "labelme mask": lambda: labelme_region("mask"),
    "labelme circle": lambda: labelme_region("circle"),
    "coco": lambda: coco_region("polygons"),
    "coco numbers": lambda: coco_region("run lengths as numbers"),
    "coco text": lambda: coco_region("run lengths as text"),
    "label-studio": lambda: label_studio_region("polygon"),
    "label-studio brush": lambda: label_studio_region("brush"),
    "label-studio bitmask": lambda: label_studio_region("bitmask"),
    "label-studio ellipse": lambda: label_studio_region("ellipse"),
}


@pytest.mark.parametrize("kind", DOCUMENTS)
@given(data=st.data())
@few
def test_json_of_any_types_gives_a_mask_or_one_line(
    kind: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    document = json.loads(json.dumps(DOCUMENTS[kind]()))  # a copy
    places = spots(document)
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = places[data.draw(st.integers(0, len(places) - 1))]
        container[key] = data.draw(values)
    path = tmp_path_factory.mktemp("json") / "knee.json"
    path.write_text(json.dumps(document))
    read_all(path)


def deep(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    "text",
    [
        deep(200_000),
        '{"shapes": ' + deep(900) + "}",
        '{"images": [], "annotations": ' + deep(900) + "}",
        '[{"data": ' + deep(900) + "}]",
        '{"shapes": [{"label": "b", "points": ' + "1" * 5000 + "}]}",
        '{"images": {"a": 1}, "annotations": 7}',
        '{"images": null, "annotations": null}',
        '{"images": [], "annotations": [], "categories": 5}',
        "NaN",
        "[]",
        '"text"',
        "\ufeff{}",
    ],
    ids=range(12),
)
def test_odd_json_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "knee.json"
    path.write_text(text, encoding="utf-8")
    read_all(path)


XML = [cvat_region(kind) for kind in ("polygon", "mask", "ellipse")]
FILES = {
    "cvat": [text.encode() for text in XML],
    "yolo": [(yolo_region() * 2).encode()],
}


@pytest.mark.parametrize(("kind", "suffix"), [("cvat", ".xml"), ("yolo", ".txt")])
@given(data=st.data())
@few
def test_xml_and_text_with_any_changes_give_a_mask_or_one_line(
    kind: str, suffix: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = data.draw(st.sampled_from(FILES[kind]))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content)))
        more = data.draw(
            st.sampled_from((b"", b"9" * 20, b"-", b"nan", b"1e9", b"<", b'"', b"\xff"))
        )
        content = content[:place] + more + content[place + data.draw(st.integers(0, 9)) :]
    path = tmp_path_factory.mktemp("text") / f"knee{suffix}"
    path.write_bytes(content)
    read_all(path)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A NIfTI (not packed), a `.seg.nrrd`, a DICOM Segmentation, and a GIF."""
    folder = tmp_path_factory.mktemp("volumes")
    one = reading(picture(folder / "knee.png"), MASK)
    found = {}
    for kind in ("nifti", "nrrd"):
        FORMATS[kind].write(folder / kind, one)
        found[kind] = (folder / kind).read_bytes()
    found["nifti"] = gzip.decompress(found["nifti"])
    FORMATS["dicom-seg"].write(folder / "seg", reading(dicom_film(folder / "knee.dcm"), MASK))
    found["dicom-seg"] = (folder / "seg").read_bytes()
    Image.fromarray(MASK.astype(np.uint8) * 255).save(folder / "a.gif")
    found["gif"] = (folder / "a.gif").read_bytes()
    return found


@pytest.mark.parametrize(
    ("kind", "suffix", "reach"),
    [("nifti", ".nii", 352), ("nrrd", ".seg.nrrd", 900), ("dicom-seg", ".dcm", 3000)],
)
@given(data=st.data())
@few
def test_volumes_with_any_changes_give_a_mask_or_one_line(
    kind: str,
    suffix: str,
    reach: int,
    data: st.DataObject,
    volumes: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    content = bytearray(volumes[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(reach, len(content)) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("volume") / f"knee{suffix}"
    path.write_bytes(content)
    read_all(path)


# --- small files, gigabytes ---


def nifti_of(shape: tuple[int, ...], dtype: Any = np.uint8) -> bytes:
    header = nibabel.nifti1.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    header["vox_offset"] = 352
    header["magic"] = b"n+1"
    return header.binaryblock + bytes(4)


def nrrd_of(sizes: str, encoding: str, data: bytes, kind: str = "uint8", more: str = "") -> bytes:
    dimension = len(sizes.split())
    head = f"NRRD0004\ntype: {kind}\ndimension: {dimension}\nsizes: {sizes}\nendian: little\n"
    return f"{head}encoding: {encoding}\n{more}\n".encode() + data


ZEROS = bytes(1 << 20)


def big(kind: Any, times: int) -> bytes:
    """Zeros by the megabyte, packed."""
    if kind is bz2:
        return bz2.compress(ZEROS * times, 9)
    packer = zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16)
    return b"".join([*(packer.compress(ZEROS) for _ in range(times)), packer.flush()])


def bomb_png(side: int) -> str:
    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def changed(document: Any, **value: Any) -> Any:
    """A Label Studio project whose region has another value."""
    document[0]["annotations"][0]["result"][0]["value"] |= value
    return document


def hostile() -> dict[str, bytes]:
    """Files for the mask of a film of 60 x 80 pixels, by their names."""
    mask = '<mask label="b" rle="100000000" left="0" top="0" width="10000" height="10000"/>'
    within = '<mask label="b" rle="0, 4800" left="0" top="0" width="80" height="60"/>'
    image = '<annotations><image name="knee.png" width="80" height="60">{}</image></annotations>'
    zigzag = [[x % 2 * 79, -(10.0**6) if x % 2 else 10.0**6] for x in range(60_000)]
    many = {"label": "bone", "points": zigzag}
    packed = labelme_region("mask")
    packed["shapes"][0]["mask"] = bomb_png(9_000)
    brush = np.frombuffer(b"\xff\xff\xff\xff" + bytes(60), np.uint8).tolist()
    runs = coco_region("run lengths as text")
    runs["annotations"][0]["segmentation"]["counts"] = "o" * 2_000_000
    large = coco_region("run lengths as numbers")
    large["images"][0] |= {"height": 10_000, "width": 10_000}
    large["annotations"][0]["segmentation"] = {"size": [10_000, 10_000], "counts": [0, 10**8]}
    return {
        "dims.nii.gz": gzip.compress(nifti_of((32_767, 32_767, 1))),
        "float.nii.gz": gzip.compress(nifti_of((80, 60, 1), np.float64) + ZEROS),
        "long.nii.gz": gzip.compress(nifti_of((80, 60, 30_000))),
        "rgb.nii": nifti_of((80, 60, 1), np.dtype([(band, "u1") for band in "RGB"]))
        + bytes(14_400),
        "skip.nrrd": nrrd_of("80 60", "raw", b"", more="line skip: 999999999999\n"),
        "byte.nrrd": nrrd_of("80 60", "raw", b"", more="byte skip: 999999999999\n"),
        "sizes.nrrd": nrrd_of("100000 100000", "gzip", big(gzip, 1)),
        "bomb.nrrd": nrrd_of("80 60", "gzip", big(gzip, 1000)),
        "bomb2.nrrd": nrrd_of("80 60", "bzip2", big(bz2, 300)),
        "layers.nrrd": nrrd_of("400000 80 60 1", "gzip", big(gzip, 1)),
        "layers2.nrrd": nrrd_of("1000 80 60 1", "gzip", big(gzip, 5), "double"),
        "line.nrrd": b"NRRD0004\n" + b"x" * 40_000_000,
        "boxes.xml": image.format(mask * 60).encode(),
        "inside.xml": image.format(within * 3000).encode(),
        "zigzag.json": json.dumps({"shapes": [many] * 3}).encode(),
        "png.json": json.dumps(packed).encode(),
        "brush.json": json.dumps(changed(label_studio_region("brush"), rle=brush)).encode(),
        "number.json": json.dumps(changed(label_studio_region("brush"), rle=5 * 10**8)).encode(),
        "letters.json": json.dumps(runs).encode(),
        "counts.json": json.dumps(large).encode(),
    }


READ = """
import resource, sys, time
from pathlib import Path
from boneseg.masks.read import read_mask
from boneseg.errors import MaskError
import nibabel, nrrd, pydicom, contourpy
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in map(Path, sys.argv[1:]):
    started = time.process_time()
    try:
        told = int(read_mask(path, (60, 80)).sum())
    except MaskError as error:
        told = str(error)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(path.name, round(time.process_time() - started, 1), peak // 1024, told, sep="|")
"""


@pytest.mark.slow
def test_small_files_take_neither_memory_nor_time(tmp_path: Path) -> None:
    paths = []
    for name, content in hostile().items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(content)
    call = [sys.executable, "-c", READ, *map(str, paths)]
    done = subprocess.run(call, capture_output=True, text=True, check=True, timeout=300)
    lines = [line.split("|") for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == [path.name for path in paths]
    for name, seconds, megabytes, told in lines:
        assert float(seconds) < 10, (name, told)
        assert int(megabytes) < 700, (name, told)
        assert told.startswith(str(tmp_path / name)) or name in (
            *("inside.xml", "float.nii.gz", "zigzag.json"),
        ), (name, told)


def test_the_regions_of_a_film_are_bounded(tmp_path: Path) -> None:
    from boneseg.masks.annotations import merged
    from boneseg.masks.types import Drawn, Patch, Region

    part = Patch(np.ones((1, 1), bool), visited=MAX_PAINTED // 3)
    regions = tuple(Region("bone", lambda shape: part) for _ in range(4))
    assert merged(Drawn(regions[:3]), "x", SHAPE).sum() == 1
    with pytest.raises(MaskError, match="x: holds too many large regions"):
        merged(Drawn(regions), "x", SHAPE)


def test_a_segmentation_of_an_absurd_size_is_refused_by_its_header(tmp_path: Path) -> None:
    FORMATS["dicom-seg"].write(tmp_path / "a.dcm", reading(dicom_film(tmp_path / "f.dcm"), MASK))
    found = pydicom.dcmread(tmp_path / "a.dcm")
    found.Rows = found.Columns = 65_535
    found.save_as(tmp_path / "a.dcm")
    with pytest.raises(MaskError, match="mask is 65535 x 65535 pixels but its film is 60 x 80"):
        read_mask(tmp_path / "a.dcm", SHAPE)
    with pytest.raises(MaskError, match="has an invalid size of 65535 x 65535 pixels"):
        read_mask(tmp_path / "a.dcm")


@pytest.mark.parametrize("value", [np.nan, np.inf, -1, 0.5, 1e300])
def test_a_nifti_of_odd_values_is_refused(value: float, tmp_path: Path) -> None:
    volume = MASK.T[:, :, None].astype(np.float64) * value
    image = nibabel.nifti1.Nifti1Image(volume, np.diag([-1, -1, 1, 1]))
    nibabel.save(image, tmp_path / "knee.nii")
    with pytest.raises(MaskError, match=r"knee.nii: (does not hold|holds negative values)"):
        read_mask(tmp_path / "knee.nii", SHAPE)


@pytest.mark.parametrize("affine", [np.diag([np.nan, -1, 1, 1]), np.diag([-np.inf, -1, 1, 1])])
def test_a_nifti_of_odd_axes_is_refused(affine: Any, tmp_path: Path) -> None:
    header = nibabel.nifti1.Nifti1Image(MASK.T[:, :, None].astype(np.uint8), np.eye(4)).header
    header["srow_x"], header["srow_y"], header["srow_z"] = affine[:3]
    header["sform_code"] = 1
    data = header.binaryblock + bytes(4) + MASK.astype(np.uint8).tobytes()
    (tmp_path / "knee.nii").write_bytes(data)
    with pytest.raises(MaskError, match=r"knee.nii: (has axes rotated|is damaged)"):
        read_mask(tmp_path / "knee.nii", SHAPE)


def test_xml_in_another_encoding_hides_no_entities(tmp_path: Path) -> None:
    text = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY b "c">]><annotations/>'
    (tmp_path / "knee.xml").write_bytes(text.encode("utf-16"))
    with pytest.raises(MaskError, match="is damaged, or is not XML"):
        read_mask(tmp_path / "knee.xml", SHAPE)


# --- many pieces ---


@pytest.mark.parametrize("kind", ["coco", "cvat", "labelme", "yolo", "coco-polygons", "fragments"])
def test_the_cost_of_pieces_is_that_of_their_pixels(kind: str, tmp_path: Path) -> None:
    """Four times the pieces on a film as large take no more than some four times as long."""
    film, form = picture(tmp_path / "knee.png", 400, 400), FORMATS[kind]
    seconds = []
    for step in (12, 6):
        mask = np.zeros((400, 400), bool)
        mask[1::step, 1::step] = True
        one, path = reading(film, mask), tmp_path / (form.document or f"knee{form.suffix}")
        started = time.process_time()
        if form.document:
            form.write_document(path, [form.entry(one)])
        else:
            form.write(path, one)
        if kind != "fragments":
            assert np.array_equal(read_mask(path, mask.shape), mask)
        seconds.append(time.process_time() - started)
    assert seconds[1] < 8 * seconds[0] + 0.5
    assert seconds[1] < 15


def test_many_holes_are_joined_to_one_ring(tmp_path: Path) -> None:
    mask = np.ones((300, 300), bool)
    mask[1:-1:3, 1:-1:3] = False
    started = time.process_time()
    (piece,) = outlines(mask)
    assert len(piece.holes) == 100 * 100
    assert np.array_equal(fill([keyhole(piece)], mask.shape), mask)
    assert time.process_time() - started < 10


def test_the_teeth_of_a_comb_are_outlined_at_once() -> None:
    comb = np.zeros((400, 400), bool)
    comb[:, ::2] = comb[0] = True
    started = time.process_time()
    assert np.array_equal(fill([piece.outer for piece in outlines(comb)], comb.shape), comb)
    assert time.process_time() - started < 5
