"""Read a DICOM file; a deflated one (PS3.5 A.5) is inflated within limits.

    dataset = read_file(Path("knee.dcm"))

pydicom inflates without limit: 3 MB can expand to 3 GB. Here a file is inflated to at most
HEADER_BYTES plus the pixel data size in its header, up to FRAME_BYTES.
"""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from boneseg.radiograph.dicom.pixels import FRAME_BYTES

HEADER_BYTES = 16 * 2**20  # of a deflated file, without its pixel data

PIXEL_DATA = (0x7FE00008, 0x7FE00009, 0x7FE00010)  # of floats, doubles and integers

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
    with path.open("rb") as file:
        plain = _inflated(file, pixels)
    if plain is None:
        return pydicom.dcmread(path, force=force, stop_before_pixels=not pixels)
    return pydicom.dcmread(plain, force=True, stop_before_pixels=not pixels)


def read_header(path: Path) -> tuple[Dataset, bool]:
    """The data set of a file up to the pixel data, and whether these follow.

    Where they do not, the file has no image, or it is truncated, which pydicom does not always say.
    Raises what `read_file` raises.
    """
    follow = False

    def stop(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        nonlocal follow
        follow = tag in PIXEL_DATA
        return follow

    with path.open("rb") as file:
        plain = _inflated(file, pixels=False)
        file.seek(0)
        header = read_partial(plain or file, stop, force=True)
    return header, follow


def _inflated(file: BinaryIO, pixels: bool) -> io.BytesIO | None:
    """The content of a deflated file, None of another."""
    start = file.read(_META)
    where = start.find(_SYNTAX, _PREAMBLE)
    if where < 0 or start[where + 8 :][: len(_DEFLATED)] != _DEFLATED:
        return None
    end = _PREAMBLE + 12 + int.from_bytes(start[_PREAMBLE + 8 : _PREAMBLE + 12], "little")
    if start[_PREAMBLE:][:4] != b"\x02\x00\x00\x00" or end > len(start):
        raise InflationError("is damaged")
    file.seek(end)
    plain = io.BytesIO()
    plain.write(start[:where] + start[where:end].replace(_DEFLATED, _PLAIN, 1))
    _inflate(file.read(), plain, pixels)
    plain.seek(0)
    return plain


def _inflate(packed: bytes, plain: io.BytesIO, pixels: bool) -> None:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain.write(inflater.decompress(packed, HEADER_BYTES))
        if not pixels:
            return
        if not inflater.eof:
            plain.seek(0)
            needed = _needed(pydicom.dcmread(plain, force=True, stop_before_pixels=True))
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
    """Bytes of pixel data according to the header."""
    words = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "NumberOfFrames")
    bits = 1
    for word in words:
        bits *= max(int(header.get(word) or 1), 1)
    return min(-(-bits // 8) + 2, FRAME_BYTES)
