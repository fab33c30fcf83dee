"""A deflated DICOM file is inflated within bounds."""

from __future__ import annotations

import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import DeflatedExplicitVRLittleEndian

from boneseg.errors import RadiographError
from boneseg.radiograph.dicom.file import (
    HEADER_BYTES,
    MOST_ELEMENTS,
    InflationError,
    _needed,
    read_file,
)
from boneseg.radiograph.dicom.pixels import FRAME_BYTES
from boneseg.radiograph.read import read_radiograph
from tests.support import films

BOMB = 80_000_000  # bytes


def deflated(path: Path, before: bytes = b"", after: bytes = b"", **more: object) -> Path:
    """A film, deflated, with bytes before and after its elements."""
    films.dicom(path, films.bone(), **more)
    content = path.read_bytes()
    end = 144 + int.from_bytes(content[140:144], "little")
    meta = content[:end].replace(
        b"\x14\x001.2.840.10008.1.2.1\0", b"\x16\x00" + DeflatedExplicitVRLittleEndian.encode()
    )
    meta = meta[:140] + (len(meta) - 144).to_bytes(4, "little") + meta[144:]
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    path.write_bytes(meta + packer.compress(before + content[end:] + after) + packer.flush())
    return path


def element(size: int) -> bytes:
    """A private element of group 7 or of group 7FE1, the first and the last of a file."""
    return b"OB\0\0" + size.to_bytes(4, "little") + bytes(size)


def test_a_deflated_film_is_that_film(tmp_path):
    plain = films.dicom(tmp_path / "plain.dcm", films.bone())
    packed = deflated(tmp_path / "packed.dcm")
    assert b"Zaphod" not in packed.read_bytes()
    assert read_file(packed)[0x7FE00010].value == read_file(plain)[0x7FE00010].value
    assert "PixelData" not in read_file(packed, pixels=False)
    np.testing.assert_array_equal(read_radiograph(packed).pixels, read_radiograph(plain).pixels)


def test_a_header_of_more_elements_than_a_film_has_is_refused_at_once(tmp_path):
    """Zeros, of which a sparse file may have gigabytes, are an element in every few bytes."""
    path = films.dicom(tmp_path / "a.dcm", films.bone())
    content = path.read_bytes()
    path.write_bytes(content[:400] + bytes(16 * MOST_ELEMENTS) + content[400:])
    with pytest.raises(ValueError, match="more elements than a film has"):
        read_file(path)
    with pytest.raises(RadiographError, match=r"^film-.*: is damaged or truncated"):
        read_radiograph(path)


def test_large_elements_besides_the_pixels_are_read(tmp_path):
    packed = deflated(tmp_path / "a.dcm", b"\x07\0\x01\x10" + element(HEADER_BYTES // 2))
    assert read_radiograph(packed).pixels.shape == (48, 64)


@pytest.mark.parametrize(
    "bomb",
    [
        {"before": b"\x07\0\x01\x10" + element(BOMB)},
        {"after": b"\xe1\x7f\x01\x10" + element(BOMB)},
        {"after": bytes(BOMB)},
        {"PixelData": bytes(BOMB)},
        {"PixelData": bytes(BOMB), "NumberOfFrames": 1000},
    ],
    ids=["before", "after", "tail", "pixels", "frames"],
)
def test_one_that_inflates_without_end_is_refused(tmp_path, bomb):
    packed = deflated(tmp_path / "a.dcm", **bomb)
    assert packed.stat().st_size < 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(RadiographError, match="inflates to more than its header says; export"):
            read_radiograph(packed)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 60_000_000


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.9])
def test_one_cut_short_or_damaged_is_refused(tmp_path, kept):
    packed = deflated(tmp_path / "a.dcm")
    whole = packed.read_bytes()
    start = 144 + int.from_bytes(whole[140:144], "little")
    place = start + int(kept * (len(whole) - start))
    for damaged in (whole[:place], whole[:place] + b"\xff" * 50):
        packed.write_bytes(damaged)
        with pytest.raises(RadiographError, match=r"truncated|damaged|cannot be decoded"):
            read_radiograph(packed)


@pytest.mark.parametrize(
    ("words", "size"),
    [
        ({}, 1),
        ({"Rows": 3, "Columns": 5}, 2),
        ({"Rows": 3, "Columns": 5, "BitsAllocated": 16}, 30),
        ({"Rows": 3, "Columns": 5, "SamplesPerPixel": 3, "BitsAllocated": 8}, 45),
        ({"Rows": 3, "Columns": 5, "BitsAllocated": 8, "NumberOfFrames": 7}, 105),
        ({"Rows": 0, "Columns": 5, "BitsAllocated": 8, "NumberOfFrames": -7}, 5),
        ({"Rows": 60_000, "Columns": 60_000, "BitsAllocated": 16}, FRAME_BYTES - 2),
    ],
)
def test_the_pixels_take_the_bytes_that_the_header_says(words, size):
    """And up to two of padding."""
    header = Dataset()
    for keyword, value in words.items():
        setattr(header, keyword, value)
    assert _needed(header) == size + 2


def test_each_fault_of_a_deflated_file_is_a_phrase(tmp_path):
    packed = deflated(tmp_path / "a.dcm")
    whole = packed.read_bytes()
    start = 144 + int.from_bytes(whole[140:144], "little")
    for content, fault in (
        (whole[:start], "is truncated"),
        (whole[:-9], "is truncated"),
        (whole[:start] + b"\xff" * 50, "is damaged"),
        (whole[:132] + b"\x02\0\1\0" + whole[136:], "is damaged"),
        (whole[:140] + b"\0\xff\0\0" + whole[144:], "is damaged"),
    ):
        packed.write_bytes(content)
        with pytest.raises(InflationError, match=f"^{fault}$"):
            read_file(packed)


def test_a_file_without_the_mark_is_read_if_forced(tmp_path):
    film = films.dicom(tmp_path / "a.dcm", films.bone())
    content = film.read_bytes()
    end = 144 + int.from_bytes(content[140:144], "little")
    film.write_bytes(content[end:])
    assert read_file(film).Rows == 48
    assert "PixelData" in read_file(film) and "PixelData" not in read_file(film, pixels=False)
    with pytest.raises(InvalidDicomError):
        read_file(film, force=False)
