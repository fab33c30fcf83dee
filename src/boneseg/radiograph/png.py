"""Refuse a PNG whose data end before its last row (PNG specification, third edition).

Pillow accepts data that end cleanly after any row, and leaves the other rows black.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

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
_BLOCK = 2**20  # bytes inflated at once


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
    """The header (IHDR) and the compressed data (IDAT) of a PNG."""
    file.seek(8)  # the signature
    chunks = _chunks(file)
    _, header = next(chunks)
    return header, (content for kind, content in chunks if kind == b"IDAT")


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        yield kind, file.read(length)
        file.seek(4, 1)  # the checksum


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
