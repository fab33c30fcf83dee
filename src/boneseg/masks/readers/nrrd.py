"""NRRD and 3D Slicer's `.seg.nrrd`: a file for each film; labels are the names of segments.

https://slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html and
https://teem.sourceforge.net/nrrd/format.html. Values that no segment names are labels themselves,
and so are all values where there are no segments. Slicer may cut the picture down to what is drawn;
an offset then says where it begins on the film. The orientation is that described in
`masks/formats/nrrd.py`; a file with another one is refused, for nothing says which way its film was
turned.

pynrrd parses the header; the pixels are unpacked here, never more than the header announces.
"""

from __future__ import annotations

import bz2
import gzip
import math
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from boneseg.errors import MaskError
from boneseg.masks.annotations import Drawing, Drawn, Region, Shape, affordable, fits
from boneseg.masks.regions import NO_SLICE, equal, labels_in, whole

ALMOST = 1e-4  # of a pixel's side: rounding, and no rotation
_SIGNS = {"left": 1, "right": -1, "posterior": 1, "anterior": -1}
_SHORT = {"LPS": "left-posterior", "LAS": "left-anterior", "RAS": "right-anterior"}
_HEADER = 1 << 24  # bytes; those of hundreds of segments are some 100 kB
_LAYERS = 1000
_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": (
        *("longlong", "long long", "long long int", "signed long long"),
        *("signed long long int", "int64", "int64_t"),
    ),
    "u8": (*("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),),
    "f4": ("float",),
    "f8": ("double",),
}
TYPES = {word: code for code, words in _TYPES.items() for word in words}
ENCODINGS = ("raw", "txt", "text", "ascii", "hex", "gz", "gzip", "bz2", "bzip2")


def drawings(path: Path, document: object) -> list[Drawing]:
    """The one film that the file is about; it is read when it is asked for."""
    return [Drawing(partial(_read, path))]


def _read(path: Path, shape: Shape | None) -> Drawn:
    import nrrd

    with path.open("rb") as file:
        header = dict(nrrd.read_header(_lines(file)))
        if {"data file", "datafile"} & header.keys():
            raise MaskError("keeps its pixels in another file; save it as one")
        skipped = (int(header.get(key, 0)) for key in ("line skip", "lineskip", "byte skip"))
        if any(skipped) or int(header.get("byteskip", 0)):
            raise MaskError("skips lines or bytes before its pixels; save it again")
        sides = [int(side) for side in header["sizes"]]
        layered = [1, *sides] if len(sides) < 4 else sides
        layered += [1] * (4 - len(layered))
        if len(sides) < 2 or len(layered) != 4 or layered[3] != 1:
            raise MaskError(NO_SLICE)
        offset = str(header.get("Segmentation_ReferenceImageExtentOffset", "0 0"))
        left, top = [int(number) for number in offset.split()[:2]]
        size = layered[2], layered[1]
        fits(size, None if left or top else shape)
        if not 0 < layered[0] <= _LAYERS:
            raise MaskError(f"has {layered[0]} layers, more than a mask of bones; is it a mask?")
        _refuse_turned(header, len(sides))
        data = whole(_unpacked(file, header, layered))
    layers = [layer[:, :, 0].T for layer in data]
    regions = [
        Region(label, partial(equal, layers[layer], value, left, top), kind)
        for label, layer, value, kind in _segments(header, layers)
    ]
    return Drawn(tuple(regions), None if left or top else size)


def _lines(file: IO[bytes]) -> Iterator[str]:
    """The lines of the header, at most `_HEADER` bytes; they end with an empty one.

    Names of segments are UTF-8, of which pynrrd alone would keep the ASCII.
    """
    left = _HEADER
    while left > 0 and (line := file.readline(left)):
        left -= len(line)
        yield line.decode("utf-8", "replace")
        if not line.strip():
            return
    raise ValueError("a header without end")


def _unpacked(file: IO[bytes], header: dict[str, Any], sides: list[int]) -> NDArray[Any]:
    """The values, in Fortran's order, as `sides` are."""
    encoding, count = header["encoding"].lower(), math.prod(sides)
    dtype = np.dtype(TYPES[header["type"].lower()])
    is_text = encoding in ("txt", "text", "ascii")
    affordable(count, 8 if is_text else dtype.itemsize)
    if is_text:
        values = np.fromstring(file.read().decode("ascii"), sep=" ", dtype=np.float64)
        if values.shape != (count,):
            raise ValueError("too few or too many numbers")
        return values.astype(dtype).reshape(sides, order="F")
    if dtype.itemsize > 1:
        dtype = dtype.newbyteorder(">" if header["endian"] == "big" else "<")
    size = count * dtype.itemsize
    if encoding == "raw":
        data = file.read(size + 1)
    elif encoding == "hex":
        data = bytes.fromhex(file.read(4 * size).decode("ascii"))
    elif encoding in ("gz", "gzip"):
        data = gzip.GzipFile(fileobj=file).read(size + 1)  # of one member or several
    elif encoding in ("bz2", "bzip2"):
        data = bz2.BZ2File(file).read(size + 1)
    else:
        raise MaskError(f"is packed as {encoding}; save it with the encoding gzip or raw")
    if len(data) != size:
        raise ValueError("too few or too many bytes")
    return np.frombuffer(data, dtype).reshape(sides, order="F")


def _refuse_turned(header: dict[str, Any], dimensions: int) -> None:
    """Refuse a picture whose axes are not those of its film."""
    directions, space = header.get("space directions"), header.get("space")
    if directions is None or space is None:
        return  # plain pixels
    words = _SHORT.get(space[:3].upper(), space).split("-")
    if len(words) < 2 or not {words[0], words[1]} <= _SIGNS.keys():
        raise turned()
    axes = np.asarray(directions, np.float64)[-3 if dimensions > 2 else -2 :][:2, :2]
    signed = axes * [_SIGNS[words[0]], _SIGNS[words[1]]]
    if not (np.isfinite(axes).all() and (np.diag(signed) > 0).all()):
        raise turned()
    if max(abs(axes[0, 1]), abs(axes[1, 0])) > ALMOST * np.diag(signed).min():
        raise turned()


def turned() -> MaskError:
    return MaskError(
        "is turned or mirrored against its film, by its axes; save it with the film's own "
        "(x to the left, y to the back of the patient: LPS)"
    )


def _segments(
    header: dict[str, Any], layers: list[NDArray[Any]]
) -> list[tuple[str, int, int, str]]:
    """Label, layer, value and kind of all that is drawn: the segments, then other values."""
    numbers = sorted({int(m[1]) for key in header if (m := re.match(r"Segment(\d+)_", key))})
    found = []
    for number in numbers:
        name = str(header.get(f"Segment{number}_Name", f"Segment {number}"))
        # Slicer before 4.11 gave each segment a layer, and numbered none; others have one for all.
        layer = int(header.get(f"Segment{number}_Layer", number if len(layers) > 1 else 0))
        value = int(header.get(f"Segment{number}_LabelValue", 1))
        if not 0 <= layer < len(layers) or value < 1:
            raise ValueError("a layer that is not there, or the value of the background")
        found.append((name, layer, value, "a segment"))
    claimed = {(layer, value) for _, layer, value, _ in found}
    for index, layer_data in enumerate(layers):
        for value in labels_in(layer_data):
            if (index, value) not in claimed:
                found.append((str(value), index, value, "a value"))
    return found
