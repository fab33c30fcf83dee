"""Refuse a PNG that lacks rows, or holds more than a picture (PNG specification, third edition).

Pillow accepts data that end cleanly after any row, and leaves the other rows black. Chunks other
than those of pixels it reads as a whole, and keeps some.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from boneseg.errors import RadiographError

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_ADAM7 = (  # first column and row, and their steps, of each pass of an interlaced image
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_BLOCK = 2**20  # bytes read or inflated at once
_PIXELS = (b"IDAT", b"fdAT")  # chunks that Pillow reads in parts, but for what follows the rows
_MOST_BESIDE = 2**26  # bytes of other chunks: profiles, thumbnails, texts


def check_chunks(file: BinaryIO) -> None:
    """Refuse a PNG with more beside its pixels than any picture has. Raises RadiographError."""
    header, chunks = _header(file)
    most, beside = _most_data(header), 0
    for kind, length in chunks:
        beside += max(0, length - most) if kind in _PIXELS else length
    if beside > _MOST_BESIDE:
        raise RadiographError(
            f"{file.name}: is a PNG with {beside >> 20} MiB beside its pixels, over the limit of "
            f"{_MOST_BESIDE >> 20} MiB; save it again"
        )


def _most_data(header: bytes) -> int:
    """How many bytes all rows are compressed to at most; unlimited where the header is invalid."""
    try:
        size = _size(header)
    except (struct.error, KeyError):
        return 2**32
    return size + size // 100 + _BLOCK


def check_rows(image: Image.Image, path: Path) -> None:
    """Raise EOFError where a loaded PNG lacks rows.

    Its data are counted only if one of its last two rows is black, as a missing row is; the last
    pass of an interlaced image ends with one of these.
    """
    if image.format != "PNG" or getattr(image, "tell", int)() > 0:
        return
    last = np.asarray(image.crop((0, max(0, image.height - 2), *image.size)))
    if all(row.any() for row in last):
        return
    with path.open("rb") as file:
        header, data = _parts(file)
        size = _size(header)
        if _inflated(data, size) < size:
            raise EOFError("the data end before the last row")


def _parts(file: BinaryIO) -> tuple[bytes, Iterator[bytes]]:
    """The header (IHDR) and the compressed data (IDAT), in blocks, of a PNG."""
    header, chunks = _header(file)
    pieces = (_blocks(file, length) for kind, length in chunks if kind == b"IDAT")
    return header, chain.from_iterable(pieces)


def _header(file: BinaryIO) -> tuple[bytes, Iterator[tuple[bytes, int]]]:
    """The header of a PNG, and the chunks that follow it."""
    file.seek(8)  # the signature
    chunks = _chunks(file)
    _, length = next(chunks, (b"", 0))
    return file.read(min(length, _BLOCK)), chunks


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """The kind and the length of each chunk, whose content can be read before the next is found."""
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        after = file.tell() + length + 4  # the checksum
        yield kind, length
        file.seek(after)


def _blocks(file: BinaryIO, length: int) -> Iterator[bytes]:
    while length and (block := file.read(min(length, _BLOCK))):
        length -= len(block)
        yield block


def _size(header: bytes) -> int:
    """The number of bytes of all rows, each with its filter type."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header[:13])
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    total = 0
    for left, top, across, down in passes:
        columns = -(-(width - left) // across)
        rows = -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * depth * _CHANNELS[colour] + 7) // 8)
    return total


def _inflated(data: Iterator[bytes], most: int) -> int:
    """The number of bytes that data inflate to, counted up to about `most`."""
    inflater, total = zlib.decompressobj(), 0
    for compressed in data:
        while compressed and not inflater.eof and total < most:
            total += len(inflater.decompress(compressed, _BLOCK))
            compressed = inflater.unconsumed_tail
    return total + len(inflater.flush(1)) if total < most else total
