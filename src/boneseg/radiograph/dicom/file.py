"""Read a DICOM file, within limits on what is read and, of a deflated one (PS3.5 A.5), inflated.

    dataset = read_file(Path("knee.dcm"))

pydicom reads every element as a whole, and inflates without limit: 3 MB can expand to 3 GB. Here a
file is inflated to at most HEADER_BYTES plus the pixel data size in its header, up to FRAME_BYTES.
A header is read up to MOST_HEADER, and pixel data that are not compressed up to the size in their
header and as much again.
"""

from __future__ import annotations

import io
import os
import zlib
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from boneseg.radiograph.dicom.pixels import FRAME_BYTES

HEADER_BYTES = 16 * 2**20  # of a deflated file, without its pixel data
MOST_ELEMENTS = 100_000  # outside sequences: zeros are an element in every few bytes
MOST_HEADER = 64 * 2**20  # bytes read for the header of a file: a thousand times those of films

PIXEL_DATA = (0x7FE00008, 0x7FE00009, 0x7FE00010)  # of floats, doubles and integers

_MOST_AFTER = 1000  # elements after the pixel data, where the standard has five at most
_PREAMBLE = 132  # bytes, including the DICM mark (PS3.10 7.1)
_META = 4096  # bytes that contain all of group 2
_SYNTAX = b"\x02\x00\x10\x00UI"  # tag and VR of the transfer syntax
_DEFLATED = DeflatedExplicitVRLittleEndian.encode()
_PLAIN = ExplicitVRLittleEndian.encode().ljust(len(_DEFLATED), b"\0")


class InflationError(ValueError):
    """A deflated file is damaged, or larger than its header says. The message is a phrase."""


def read_file(path: Path, *, pixels: bool = True, force: bool = True) -> FileDataset:
    """Read the data set of a file, inflating a deflated one.

    pixels: False stops before the pixel data; a deflated file is then inflated to at most
    HEADER_BYTES. force: whether to read a file without the DICM mark.
    Raises InflationError, OSError, and any error that pydicom raises on a damaged file.
    """
    with _opened(path) as file:
        plain = _inflated(file, pixels)
        if plain is None:
            return _read_plain(file, pixels, force)
    return _parsed(plain, pixels)


def read_header(path: Path) -> tuple[Dataset, bool]:
    """The data set of a file up to the pixel data, and whether these follow.

    Where they do not, the file has no image, or it is truncated, which pydicom does not always say.
    Raises what `read_file` raises.
    """
    with _opened(path) as file:
        plain = _inflated(file, pixels=False)
        file.seek(0)
        end = _End(pixels=False)
        header = read_partial(plain or file, end, force=True)
    return header, end.met


class _End:
    """Tells pydicom where to end: before the pixel data, or soon after them.

    Some programs pad films with zeros, and a megabyte of these is read as 130,000 empty elements.
    met: whether there are pixel data.
    """

    def __init__(self, pixels: bool) -> None:
        self._pixels, self._before, self._after, self.met = pixels, 0, 0, False

    def __call__(self, tag: BaseTag, _vr: str | None, _length: int) -> bool:
        self.met = self.met or tag in PIXEL_DATA
        if self.met:
            self._after += 1
            return not self._pixels or self._after > _MOST_AFTER
        self._before += 1
        if self._before > MOST_ELEMENTS:
            raise ValueError("more elements than a film has")
        return False


def _parsed(file: BinaryIO, pixels: bool, force: bool = True) -> FileDataset:
    """The data set of a file, as `pydicom.dcmread` reads it, of at most MOST_ELEMENTS."""
    return read_partial(file, _End(pixels), force=force)


class _Large(io.BufferedReader):
    """A file that ends once `left` bytes have been read in all; None: no limit."""

    left: int | None = MOST_HEADER

    def read(self, size: int | None = -1, /) -> bytes:
        if self.left is None:
            return super().read(size)
        asked = self.left if size is None or size < 0 else min(size, self.left)
        content = super().read(asked)
        self.left -= len(content)
        return content


def _opened(path: Path) -> io.BufferedReader:
    """A file to be read; a large one is limited to MOST_HEADER at first."""
    raw = path.open("rb", buffering=0)
    large = os.fstat(raw.fileno()).st_size > MOST_HEADER
    return _Large(raw) if large else io.BufferedReader(raw)


def _inflated(file: io.BufferedReader, pixels: bool) -> io.BytesIO | None:
    """The content of a deflated file, None of another."""
    start = file.read(_META)
    where = start.find(_SYNTAX, _PREAMBLE)
    if where < 0 or start[where + 8 :][: len(_DEFLATED)] != _DEFLATED:
        return None
    end = _PREAMBLE + 12 + int.from_bytes(start[_PREAMBLE + 8 : _PREAMBLE + 12], "little")
    if start[_PREAMBLE:][:4] != b"\x02\x00\x00\x00" or end > len(start):
        raise InflationError("is damaged")
    most = HEADER_BYTES + (FRAME_BYTES if pixels else 0)
    if isinstance(file, _Large):
        file.left = most
    file.seek(end)
    plain = io.BytesIO()
    plain.write(start[:where] + start[where:end].replace(_DEFLATED, _PLAIN, 1))
    _inflate(file.read(min(most, os.fstat(file.fileno()).st_size)), plain, pixels)
    plain.seek(0)
    return plain


def _read_plain(file: io.BufferedReader, pixels: bool, force: bool) -> FileDataset:
    """The data set of a file that is not deflated."""
    if pixels and isinstance(file, _Large):
        header = _read_plain(file, False, force)
        syntax = UID(header.file_meta.get("TransferSyntaxUID") or ExplicitVRLittleEndian)
        file.left = None if syntax.is_encapsulated else MOST_HEADER + 2 * _announced(header)
    file.seek(0)
    return _parsed(file, pixels, force)


def _inflate(packed: bytes, plain: io.BytesIO, pixels: bool) -> None:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain.write(inflater.decompress(packed, HEADER_BYTES))
        if not pixels:
            return
        if not inflater.eof:
            plain.seek(0)
            needed = _needed(_parsed(plain, pixels=False))
            plain.seek(0, io.SEEK_END)
            more = inflater.decompress(inflater.unconsumed_tail, needed)
            plain.write(more)
            if not inflater.eof and len(more) == needed:
                raise InflationError("inflates to more than its header says")
    except zlib.error:
        raise InflationError("is damaged") from None
    if not inflater.eof:
        raise InflationError("is truncated")


def _needed(header: Dataset) -> int:
    """Bytes of pixel data to inflate according to the header."""
    return min(_announced(header) + 2, FRAME_BYTES)


def _announced(header: Dataset) -> int:
    """Bytes of pixel data according to the header."""
    words = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "NumberOfFrames")
    bits = 1
    for word in words:
        bits *= max(int(header.get(word) or 1), 1)
    return -(-bits // 8)
