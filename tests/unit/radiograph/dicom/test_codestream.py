"""Headers of compressed frames are read before any decoder sees them."""

from __future__ import annotations

import io
import struct
from unittest.mock import patch

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLSLossless,
    RLELossless,
)

from boneseg.errors import RadiographError
from boneseg.radiograph.dicom.codestream import (
    Shape,
    _pairs,
    check_fragments,
    open_codestream,
)
from boneseg.radiograph.film import MAX_SCANS
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


# -- headers by hand ------------------------------------------------------------------------------

JPEG, LOSSLESS, JPEG_LS = JPEGExtended12Bit, JPEGLossless, JPEGLSLossless
END = b"\xff\xd9"


def segment(marker: int, content: bytes) -> bytes:
    """A marker segment of JPEG; its length counts itself (T.81 B.1.1.4)."""
    return bytes((0xFF, marker)) + struct.pack(">H", 2 + len(content)) + content


def start_of_frame(bits: int = 12, rows: int = 300, columns: int = 515, samples: int = 3) -> bytes:
    parts = b"".join(bytes((number + 1, 0x11, 0)) for number in range(samples))
    return struct.pack(">BHHB", bits, rows, columns, samples) + parts


def jpeg(marker: int = 0xC1, frame: bytes | None = None, scans: int = 1, end: bytes = END) -> bytes:
    """Tables of each kind, a fill byte, a marker without a segment, a frame, scans and the end."""
    frame = start_of_frame() if frame is None else frame
    tables = segment(0xE0, b"JFIF\0") + segment(0xC4, b"\0" * 17) + segment(0xCC, b"\0\0")
    tables += segment(0xC8, b"") + b"\xff" + segment(0xDB, b"\0" * 65) + b"\xff\x01\xff\xd3"
    scan = segment(0xDA, b"\x01\x01\0\0\x3f\0") + b"\x12\x34\xff\0"
    return b"\xff\xd8" + tables + segment(marker, frame) + scan * scans + end


FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}


@pytest.mark.parametrize("marker", range(0xC0, 0xD0))
def test_every_frame_header_of_jpeg_is_known_and_no_table_is_one(marker: int) -> None:
    if marker in FRAMES:
        found = open_codestream(jpeg(marker), JPEG)
        assert (found.kind, found.shape) == ("jpeg", Shape(300, 515, 3, 12))
        assert not found.signed
    else:
        with pytest.raises(ValueError, match=r"^is damaged$"):
            open_codestream(jpeg(marker), JPEG)


@pytest.mark.parametrize("marker", sorted(FRAMES))
def test_only_lossy_jpeg_of_16_bits_is_non_standard(marker: int) -> None:
    for bits in (15, 16):
        found = open_codestream(jpeg(marker, start_of_frame(bits)), LOSSLESS)
        lossless = marker in (0xC3, 0xC7, 0xCB, 0xCF)
        assert found.kind == ("jpeg" if lossless or bits == 15 else "jpeg-16")
        assert found.shape.bits == bits


@pytest.mark.parametrize(("syntax", "marker"), [(JPEG, 0xC1), (JPEG_LS, 0xF7)])
def test_the_head_of_a_jpeg_ends_where_its_scan_begins(syntax: str, marker: int) -> None:
    frame = jpeg(marker)
    found = open_codestream(frame, syntax)
    assert found.kind == ("jpeg-ls" if syntax == JPEG_LS else "jpeg")
    assert (found.data, found.head) == (frame, frame.index(b"\xff\xda") + 2)
    assert found.shape == Shape(300, 515, 3, 12)


@pytest.mark.parametrize(
    ("frame", "fault"),
    [
        (b"\xff\xd9" + jpeg()[2:], "is not a JPEG"),
        (b"\0\xd8" + jpeg()[2:], "is not a JPEG"),
        (b"", "is not a JPEG"),
        (b"\xff\xd8\0" + jpeg()[2:], "is damaged"),
        (b"\xff\xd8" + segment(0xC0, start_of_frame()) + jpeg()[2:], "is damaged"),
        (jpeg(frame=start_of_frame()[:5]), "is damaged"),
        (b"\xff\xd8" + segment(0xDA, b"") + END, "is damaged"),
        (b"\xff\xd8" + END, "is damaged"),
        (b"\xff\xd8\xff", "is truncated"),
        (jpeg(end=b""), "is truncated"),
        (jpeg(end=b"\xff\xd8"), "is truncated"),
        (END + jpeg(end=b""), "is not a JPEG"),
        (jpeg(scans=MAX_SCANS + 2), "has too many scans"),
    ],
)
def test_a_damaged_jpeg_is_refused_with_its_fault(frame: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}$"):
        open_codestream(frame, JPEG)


def test_scans_are_allowed_up_to_a_limit() -> None:
    """The first one begins after the head."""
    found = open_codestream(jpeg(scans=MAX_SCANS + 1), JPEG)
    assert found.shape == Shape(300, 515, 3, 12)


def test_a_frame_header_without_any_sample_has_none() -> None:
    """The shortest one that there is."""
    found = open_codestream(jpeg(frame=start_of_frame(samples=0)), JPEG)
    assert found.shape == Shape(300, 515, 0, 12)


def test_a_segment_shorter_than_its_own_length_is_walked_over() -> None:
    frame = jpeg()
    found = open_codestream(frame[:2] + b"\xff\xe1\0\0" + frame[2:], JPEG)
    assert found.shape == Shape(300, 515, 3, 12)


def siz(
    parts: tuple[bytes, ...] = (b"\x0b\1\1",) * 3,
    area: tuple[int, ...] = (530, 310, 15, 10),  # right, bottom, left, top
    tiles: tuple[int, ...] = (256, 200, 5, 4),  # width, height, left, top
) -> bytes:
    """SOC and SIZ (T.800 A.5.1)."""
    content = struct.pack(">H8IH", 0x4000, *area, *tiles, len(parts)) + b"".join(parts)
    return b"\xff\x4f" + segment(0x51, content)


def tile(index: int, content: bytes = b"\x93\x12\x34", length: int | None = None) -> bytes:
    """A tile-part (T.800 A.4.2)."""
    length = 12 + len(content) if length is None else length
    return struct.pack(">HHHIBB", 0xFF90, 10, index, length, 0, 1) + content


TILES = b"".join(map(tile, range(6)))  # of 3 x 2, some of them of more than one part
QUANTISED = segment(0x5C, b"\x40" * 4)


@pytest.mark.parametrize(
    ("frame", "shape", "signed"),
    [
        (siz() + QUANTISED + TILES + END, Shape(300, 515, 3, 12), False),
        (siz() + TILES + tile(2) + tile(5) + END, Shape(300, 515, 3, 12), False),
        (siz() + TILES, Shape(300, 515, 3, 12), False),
        (siz() + TILES[:-15] + tile(5, length=0), Shape(300, 515, 3, 12), False),
        (siz() + TILES + END + tile(9), Shape(300, 515, 3, 12), False),
        (siz((b"\x8f\1\1",)) + TILES + END, Shape(300, 515, 1, 16), True),
        (siz((b"\x00\1\1",)) + TILES + END, Shape(300, 515, 1, 1), False),
        (
            siz(area=(516, 301, 1, 1), tiles=(999, 999, 1, 1)) + tile(0),
            Shape(300, 515, 3, 12),
            False,
        ),
        (siz(area=(17, 11, 16, 10), tiles=(1, 1, 16, 10)) + tile(0), Shape(1, 1, 3, 12), False),
        (siz() + b"\xff\x64\0\0" + TILES + END, Shape(300, 515, 3, 12), False),
    ],
)
def test_the_shape_of_jpeg_2000(frame: bytes, shape: Shape, signed: bool) -> None:
    found = open_codestream(frame, JPEG2000Lossless)
    assert (found.kind, found.shape, found.signed) == ("jpeg-2000", shape, signed)
    assert (found.data, found.head) == (frame, 42 + 3 * shape.samples)


@pytest.mark.parametrize(
    ("frame", "fault"),
    [
        (b"\xff\x4f\xff\x52" + siz()[4:] + TILES, "is not a JPEG 2000 codestream"),
        (siz(()) + TILES, "is damaged"),
        (siz(area=(15, 310, 15, 10)) + TILES, "is damaged"),
        (siz(area=(530, 10, 15, 10)) + TILES, "is damaged"),
        (siz(tiles=(0, 200, 5, 4)) + TILES, "is damaged"),
        (siz(tiles=(256, 0, 5, 4)) + TILES, "is damaged"),
        (siz(tiles=(256, 200, 16, 4)) + TILES, "is damaged"),
        (siz(tiles=(256, 200, 5, 11)) + TILES, "is damaged"),
        (siz((b"\x0b\1\1", b"\x07\1\1")) + TILES, "has components of different types"),
        (siz((b"\x0b\2\1",)) + TILES, "has components of different types"),
        (siz((b"\x0b\1\2",)) + TILES, "has components of different types"),
        (siz() + TILES[:-15] + END, "is truncated"),
        (siz() + TILES + tile(6), "is truncated"),  # of another size
        (siz() + TILES[:-1], "is truncated"),
        (siz() + TILES[:-15] + tile(5, length=13), "is truncated"),
        (siz()[:30], "is truncated"),
        (siz()[:44], "is truncated"),
    ],
)
def test_a_damaged_jpeg_2000_is_refused_with_its_fault(frame: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}$"):
        open_codestream(frame, JPEG2000Lossless)


def test_the_smallest_tile_part_has_no_data() -> None:
    frame = siz(tiles=(999, 999, 5, 4)) + tile(0, b"\xff\x93")
    assert open_codestream(frame, JPEG2000Lossless).shape == Shape(300, 515, 3, 12)


MARK = b"\0\0\0\x0cjP  \r\n\x87\n"


@pytest.mark.parametrize(
    "boxes",
    [
        b"%s",
        b"\0\0\0\x0aftypjp%s",
        b"\0\0\0\x08free%s",  # empty
        b"\0\0\0\x01uuid" + (18).to_bytes(8, "big") + b"jp%s",
        b"\0\0\0\x01free" + (16).to_bytes(8, "big") + b"%s",
    ],
)
@pytest.mark.parametrize("behind", [b"", b"\0\0\0\x08free"])
def test_the_codestream_is_the_content_of_its_box(boxes: bytes, behind: bytes) -> None:
    data = siz() + TILES + END
    long = b"\0\0\0\1jp2c" + (16 + len(data)).to_bytes(8, "big")
    for head in ((8 + len(data)).to_bytes(4, "big") + b"jp2c", long):
        frame = MARK + boxes.replace(b"%s", head + data) + behind
        assert open_codestream(frame, JPEG2000Lossless).data == data


@pytest.mark.parametrize(
    ("boxes", "fault"),
    [
        (b"", "is truncated"),
        (b"\0\0\0\x08free", "is truncated"),
        (b"\0\0\0\0free" + siz(), "is truncated"),
        (b"\0\0\0\x07free", "is damaged"),
        (b"\0\0\0\1free" + (15).to_bytes(8, "big"), "is damaged"),
    ],
)
def test_a_file_without_its_box_is_refused_with_its_fault(boxes: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}$"):
        open_codestream(MARK + boxes, JPEG2000Lossless)


def rle(*offsets: int, count: int | None = None, data: int = 100) -> bytes:
    """A header of RLE (PS3.5 G.5) and some bytes."""
    count = len(offsets) if count is None else count
    return struct.pack("<16I", count, *offsets, *[0] * (15 - len(offsets))) + bytes(data)


@pytest.mark.parametrize(
    "frame", [rle(64), rle(64, 65), rle(64, 163), rle(*range(64, 79)), rle(64, data=1)]
)
def test_rle_has_as_many_segments_as_bytes_in_a_pixel(frame: bytes) -> None:
    found = open_codestream(frame, RLELossless)
    count = frame[0]
    assert (found.kind, found.shape) == ("rle", Shape(0, 0, count, 0))
    assert (found.data, found.head) == (frame, 64)


@pytest.mark.parametrize(
    ("frame", "fault"),
    [
        (rle(64)[:63], "is truncated"),
        (rle(64, count=0), "is damaged"),
        (rle(*range(64, 79), count=16), "is damaged"),
        (rle(63), "is damaged"),
        (rle(64, data=0), "is damaged"),
        (rle(64, 64), "is damaged"),
        (rle(64, 80, 79), "is damaged"),
        (rle(64, 164), "is damaged"),
    ],
)
def test_a_damaged_rle_header_is_refused_with_its_fault(frame: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}$"):
        open_codestream(frame, RLELossless)


def item(content: bytes, element: int = 0xE000, group: int = 0xFFFE) -> bytes:
    return struct.pack("<HHI", group, element, len(content)) + content


@pytest.mark.parametrize(
    "data",
    [
        b"",
        item(b"") + item(b"ab"),
        item(b"") + item(b"ab") + item(b"cdef") + item(b"", 0xE0DD) + b"\0" * 20,
        item(b"") + item(b"ab") + b"\0" * 7,  # not an item
        item(b"") * 3 + item(b"", 0xE0DD),
    ],
)
def test_fragments_are_items_up_to_a_delimiter(data: bytes) -> None:
    with patch("boneseg.radiograph.dicom.codestream._FRAGMENTS", 3):
        check_fragments(data)


@pytest.mark.parametrize(
    "data",
    [
        item(b"") + item(b"ab", 0xE00D) + item(b"", 0xE0DD),
        item(b"", group=0xFFFF),
        item(b"") + b"\0" * 8,
        item(b"") * 4 + item(b"", 0xE0DD),
    ],
)
def test_other_elements_and_too_many_fragments_are_refused(data: bytes) -> None:
    with (
        patch("boneseg.radiograph.dicom.codestream._FRAGMENTS", 3),
        pytest.raises(ValueError, match=r"^is damaged$"),
    ):
        check_fragments(data)


# -- numbers of all their bits --------------------------------------------------------------------


def test_sizes_of_a_jpeg_may_have_all_their_bits() -> None:
    frame = jpeg(frame=struct.pack(">BHHB", 200, 65535, 40_000, 255) + bytes(3 * 255))
    assert open_codestream(frame, JPEG).shape == Shape(65535, 40_000, 255, 200)


def test_sizes_of_jpeg_2000_may_have_all_their_bits() -> None:
    most = 2**32 - 1
    frame = siz(area=(most, 2**31 + 10, 15, 10), tiles=(most, most, 0, 0)) + tile(0) + END
    assert open_codestream(frame, JPEG2000Lossless).shape == Shape(2**31, most - 15, 3, 12)


@pytest.mark.parametrize("length", [32_766, 32_767, 65_533])
def test_segments_may_be_long(length: int) -> None:
    """What is in them is not looked at, though it looks like a marker."""
    comment = segment(0xFE, END * (length // 2) + b"\xff" * (length % 2))
    frame = jpeg()
    found = open_codestream(frame[:2] + comment + frame[2:], JPEG)
    assert found.shape == Shape(300, 515, 3, 12)
    found = open_codestream(siz() + comment + TILES + END, JPEG2000Lossless)
    assert found.shape == Shape(300, 515, 3, 12)


def test_a_fragment_of_undefined_length_is_the_last() -> None:
    """Its decoder says what it lacks."""
    check_fragments(struct.pack("<HHI", 0xFFFE, 0xE000, 2**32 - 1) + b"\1" * 20)
