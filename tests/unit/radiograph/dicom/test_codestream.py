"""Headers of compressed frames are read before any decoder sees them."""

from __future__ import annotations

import io
from unittest.mock import patch

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.uid import (
    JPEG2000Lossless,
)

from boneseg.errors import RadiographError
from boneseg.radiograph.dicom.codestream import _pairs
from boneseg.radiograph.read import read_radiograph
from tests.support import films
from tests.support.codestreams import change, frame_of, pack


@pytest.mark.parametrize(
    "boxes",
    [
        b"\0\0\0\0ftyp",  # to the end of the file
        b"\0\0\0\x08ftyp" * 100,
        b"\0\0\0\x07ftyp",  # shorter than its own head
        b"\0\0\0\x01ftyp" + bytes(8),
        b"\0\0\0\x01ftyp" + b"\xff" * 8,
        b"\xff\xff\xff\xffftyp",
    ],
    ids=["endless", "many", "short", "long zero", "long", "huge"],
)
def test_jp2_boxes_are_walked_through_once(tmp_path, boxes):
    path = pack(tmp_path / "a.dcm")
    change(path, b"\0\0\0\x0cjP  \r\n\x87\n" + boxes)
    with pytest.raises(RadiographError, match=r"is (truncated|damaged)"):
        read_radiograph(path)


def test_a_codestream_in_jp2_boxes_is_read(tmp_path):
    path = pack(tmp_path / "a.dcm")
    plain, frame = read_radiograph(path).pixels, frame_of(path)
    for head in (b"\0\0\0\0jp2c", b"\0\0\0\x01jp2c" + (len(frame) + 16).to_bytes(8, "big")):
        change(path, b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 \0\0\0\0jp2 " + head + frame)
        np.testing.assert_array_equal(read_radiograph(path).pixels, plain)


def test_a_jpeg_2000_frame_without_some_of_its_tiles_is_refused(tmp_path):
    pixels = films.bone(128, 192, top=255).astype(np.uint8)
    path = films.dicom(tmp_path / "a.dcm", pixels)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG2000", tile_size=(64, 64), no_jp2=True)
    tiled = file.getvalue()
    dataset = pydicom.dcmread(path)
    dataset.compress(JPEG2000Lossless)
    dataset.save_as(path)
    whole = read_radiograph(path).pixels
    np.testing.assert_array_equal(read_radiograph(change(path, tiled)).pixels, whole)
    start = tiled.rindex(b"\xff\x90\0\x0a")  # SOT, of the last tile
    for cut in (tiled[:start], tiled[:start] + b"\xff\xd9"):
        with pytest.raises(RadiographError, match="is truncated"):
            read_radiograph(change(path, cut))


@pytest.mark.parametrize("at, value", [(8, 2**31), (12, 2**31), (24, 1), (16, 2**32 - 1)])
def test_absurd_sizes_in_a_jpeg_2000_header_take_no_memory(tmp_path, at, value):
    """SIZ: the grid, its offset and the tiles (ITU-T T.800 A.5.1)."""
    path = pack(tmp_path / "a.dcm")
    frame = bytearray(frame_of(path))
    frame[at : at + 4] = value.to_bytes(4, "big")
    change(path, bytes(frame))
    with pytest.raises(RadiographError, match=r"header says|damaged|truncated"):
        read_radiograph(path)


@given(
    data=st.lists(st.sampled_from([0xFF, 0xDA]), max_size=30).map(bytes),
    start=st.integers(0, 5),
    block=st.integers(1, 9),
)
def test_marks_are_counted_across_blocks(data: bytes, start: int, block: int) -> None:
    with patch("boneseg.radiograph.dicom.codestream._BLOCK", block):
        assert _pairs(data, start, 0xFF, 0xDA) == data[start:].count(b"\xff\xda")
