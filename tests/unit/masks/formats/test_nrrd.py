"""NRRD masks, Slicer's .seg.nrrd among them."""

from __future__ import annotations

import bz2
import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest
from numpy.typing import NDArray

from boneseg.errors import MaskError
from boneseg.masks.formats.nrrd import ENCODINGS, TYPES
from boneseg.masks.read import read_mask
from boneseg.masks.terminology import colour_of
from tests.support.annotations import only_mask, segments, square
from tests.support.readings import MASK, card, dicom_film, picture, reading, written
from tests.support.regions import HEIGHT, SHAPE, WIDTH, mask_of, rectangle

# --- NRRD and NIfTI ---


def nrrd_file(
    values: NDArray[Any], kind: str, encoding: str, order: str = "<", more: str = ""
) -> bytes:
    """A plain NRRD of height x width values."""
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    if encoding in ("txt", "text", "ascii"):
        data = " ".join(map(str, values.ravel().tolist())).encode()
    elif encoding == "hex":
        data = data.hex().encode()
    elif encoding in ("gz", "gzip"):
        data = gzip.compress(data)
    elif encoding in ("bz2", "bzip2"):
        data = bz2.compress(data)
    endian = "little" if order == "<" else "big"
    header = f"NRRD0004\ntype: {kind}\ndimension: 2\nsizes: {values.shape[1]} {values.shape[0]}\n"
    return f"{header}endian: {endian}\nencoding: {encoding}\n{more}\n".encode() + data


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_of_nrrd_is_read(encoding: str, tmp_path: Path) -> None:
    for index, (code, order) in enumerate((("u1", "<"), ("i2", "<"), ("u2", ">"))):
        labels = MASK.astype(code) * 3
        kind = next(word for word, known in TYPES.items() if known == code)
        file = nrrd_file(labels, kind, encoding, order)
        assert np.array_equal(mask_of(tmp_path / str(index), "knee.nrrd", file), MASK)


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_of_nrrd_is_read(kind: str, tmp_path: Path) -> None:
    file = nrrd_file(MASK.astype(TYPES[kind]) * 2, kind, "raw")
    found = mask_of(tmp_path, "knee.nrrd", file, labels=["2"])
    assert np.array_equal(found, MASK)


@pytest.mark.parametrize("key", ["line skip", "lineskip", "byte skip", "byteskip"])
def test_pixels_behind_other_lines_or_bytes_are_refused(key: str, tmp_path: Path) -> None:
    file = nrrd_file(MASK.astype(np.uint8), "uint8", "raw", more=f"{key}: 1\n")
    with pytest.raises(MaskError, match="skips lines or bytes before its pixels"):
        mask_of(tmp_path, "knee.nrrd", file)


@pytest.mark.parametrize("space", ["left-posterior-superior", "LPS", "RAS", "LAS"])
def test_every_space_of_nrrd_is_read_and_its_mirror_refused(space: str, tmp_path: Path) -> None:
    x, y = (-1 if word == "R" else 1 for word in space[:1].upper()), (-1 if "A" in space else 1)
    (x,) = x
    for name, sign in (("a", 1), ("b", -1)):
        axes = f"space: {space}\nspace directions: ({x * sign},0,0) (0,{y},0)\n"
        file = nrrd_file(MASK.astype(np.uint8), "uint8", "raw", more=axes)
        if sign > 0:
            assert np.array_equal(mask_of(tmp_path / name, "knee.nrrd", file), MASK)
        else:
            with pytest.raises(MaskError, match="has axes rotated or mirrored"):
                mask_of(tmp_path / name, "knee.nrrd", file)


@pytest.mark.parametrize("more", [{}, {"Segment0_Name": "Femur", "Segment0_LabelValue": "1"}])
def test_voxels_of_no_segment_are_labels_of_their_own(more: Any, tmp_path: Path) -> None:
    layers = np.zeros((2, WIDTH, HEIGHT, 1), np.uint8)
    layers[0, 10:30, 10:40], layers[1, 40:50, 10:40] = 1, 2
    path = tmp_path / "knee.seg.nrrd"
    nrrd.write(str(path), layers, {"kinds": ["list", "domain", "domain", "domain"], **more})
    both = rectangle() | rectangle(40, 10, 50, 40)
    assert np.array_equal(read_mask(path, SHAPE), both)
    assert np.array_equal(read_mask(path, SHAPE, labels=["2"]), rectangle(40, 10, 50, 40))
    if more:
        assert np.array_equal(read_mask(path, SHAPE, labels=["Femur"]), rectangle())


def test_a_segment_is_never_the_background(tmp_path: Path) -> None:
    header = {"Segment0_Name": "Bone", "Segment0_LabelValue": "0"}
    nrrd.write(str(tmp_path / "knee.seg.nrrd"), rectangle().T[:, :, None].astype(np.uint8), header)
    with pytest.raises(MaskError, match="is damaged, or is not NRRD"):
        read_mask(tmp_path / "knee.seg.nrrd", SHAPE)


@pytest.mark.parametrize("packer", [gzip, bz2])
def test_nrrd_may_be_packed_in_several_streams(packer: Any, tmp_path: Path) -> None:
    name = "knee.seg.nrrd"
    header = {"encoding": "raw", "Segment0_Name": "Femur", "Segment0_LabelValue": "1"}
    nrrd.write(str(tmp_path / name), rectangle().T[:, :, None].astype(np.uint8), header)
    told, _, data = (tmp_path / name).read_bytes().partition(b"\n\n")
    told = told.replace(b"encoding: raw", b"encoding: " + packer.__name__.encode()[:5])
    told = told.replace(b"bz2", b"bzip2").replace(b"Femur", "Fémur".encode())
    packed = packer.compress(data[:999]) + packer.compress(data[999:])
    found = mask_of(tmp_path / "a", name, told + b"\n\n" + packed, labels=["Fémur"])
    assert np.array_equal(found, rectangle())


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
    assert np.array_equal(only_mask(tmp_path, labels=["Femur"]), square(hole=True))


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
    with pytest.raises(MaskError, match="has axes rotated or mirrored relative to its film"):
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
def test_odd_headers_of_nrrd_are_reported_in_one_line(facts: Any, tmp_path: Path) -> None:
    with pytest.raises(MaskError, match=r"knee.seg.nrrd: is damaged, or is not NRRD"):
        read_mask(segments(tmp_path / "knee.seg.nrrd", **facts))


# --- 3D Slicer and NIfTI ---


def test_seg_nrrd_says_what_slicer_asks_for(tmp_path: Path) -> None:
    film = dicom_film(tmp_path / "film.dcm", PixelSpacing=[0.2, 0.1])
    data, header = nrrd.read(str(written("nrrd", reading(film, MASK, card()), tmp_path)))
    assert np.array_equal(data[:, :, 0].T > 0, MASK)  # x to the right of the film, y down
    assert header["space"] == "left-posterior-superior"
    assert header["kinds"] == ["domain"] * 3
    assert np.allclose(header["space directions"], np.diag([0.1, 0.2, 1]))
    assert header["Segment0_Name"] == "Bone"
    assert header["Segment0_Extent"] == "2 79 2 54 0 0"
    assert len([float(level) for level in header["Segment0_Color"].split()]) == 3
    assert "SCT^272673000^Bone" in header["Segment0_Tags"]
    assert header["boneseg_spacing"] == "uncalibrated"


def test_a_bone_is_a_segment_of_its_name_and_colour(tmp_path: Path) -> None:
    one = replace(reading(picture(tmp_path / "film.png"), MASK), named={"left femur": MASK})
    _, header = nrrd.read(str(written("nrrd", one, tmp_path)))
    assert (header["Segment0_ID"], header["Segment0_Name"]) == ("Left_femur", "Left femur")
    levels = [float(level) for level in header["Segment0_Color"].split()]
    assert levels == pytest.approx([level / 255 for level in colour_of("left femur")], abs=1e-6)


def test_an_empty_segment_has_an_empty_extent(tmp_path: Path) -> None:
    one = reading(picture(tmp_path / "film.png"), np.zeros_like(MASK))
    data, header = nrrd.read(str(written("nrrd", one, tmp_path)))
    assert not data.any()
    assert header["Segment0_Extent"] == "0 -1 0 -1 0 -1"
    assert np.allclose(header["space directions"], np.eye(3))  # as Slicer shows a PNG
