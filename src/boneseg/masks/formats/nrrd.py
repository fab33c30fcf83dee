"""NRRD and 3D Slicer's `.seg.nrrd`: a file for each film; labels are the names of segments.

https://slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html and
https://teem.sourceforge.net/nrrd/format.html

A film has no position in the patient. ITK-based programs (Slicer, ITK-SNAP) then place it with x to
the patient's left and y to the back, from 0, and the files written here do the same, so that they
match the film. If the spacing of the film is unknown it is 1 mm, as in those programs. A file with
another orientation is refused, because the rotation of its film is unknown.

Read: values without a segment are labels themselves. Slicer may crop the image to the segments; an
offset then gives its position on the film. pynrrd parses the header; the pixels are unpacked here,
never more than the header announces.
"""

from __future__ import annotations

import bz2
import gzip
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from boneseg._util.drawing.overlay import COLOUR
from boneseg._util.files import whole_file
from boneseg._util.json_values import as_integer, as_text
from boneseg.errors import MaskError
from boneseg.masks.regions import NO_SLICE, equal, labels_in, whole
from boneseg.masks.segmentation import BONE, Layer, Segmentation
from boneseg.masks.types import Drawing, Drawn, Region, Shape, affordable, fits

ALMOST = 1e-4  # of a pixel's side: rounding, not rotation
_SIGNS = {"left": 1, "right": -1, "posterior": 1, "anterior": -1}
_SHORT = {"LPS": "left-posterior", "LAS": "left-anterior", "RAS": "right-anterior"}
_HEADER = 1 << 24  # bytes; those of hundreds of segments are some 100 kB
_PACKING = 4096  # bytes that compression may add to a small mask
_DIGITS = 24  # of a number as text, and the space after it
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


def write(path: Path, segmentation: Segmentation) -> None:
    """Write a segment for each layer of the segmentation. Raises OutputError."""
    import nrrd

    layers, places = _without_overlap(segmentation.layers)
    rows, columns = segmentation.film.spacing_mm or (1.0, 1.0)
    axes = np.diag([columns, rows, 1.0])
    several = len(layers) > 1  # a list of images, which together hold what overlaps
    header: dict[str, object] = {
        "type": "unsigned char",
        "space": "left-posterior-superior",
        "space directions": np.vstack([[np.nan] * 3, axes]) if several else axes,
        "space origin": np.zeros(3),
        "kinds": [*(["list"] if several else []), "domain", "domain", "domain"],
        "encoding": "gzip",
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ConversionParameters": "",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
        "boneseg_spacing": segmentation.film.spacing_kind,
    }
    for number, (layer, place) in enumerate(zip(segmentation.layers, places, strict=True)):
        facts = _segment(layer) | {"LabelValue": str(place[1]), "Layer": str(place[0])}
        header |= {f"Segment{number}_{name}": value for name, value in facts.items()}
    data = np.stack([layer.T[:, :, None] for layer in layers])
    file = io.BytesIO()
    nrrd.write(file, data if several else data[0], header)
    with whole_file(path) as temporary:
        temporary.write_bytes(file.getbuffer())


def _without_overlap(
    layers: Sequence[Layer],
) -> tuple[list[NDArray[np.uint8]], list[tuple[int, int]]]:
    """Label maps, uint8 H x W, as few as hold all regions; the map and the value of each region."""
    maps: list[NDArray[np.uint8]] = []
    counts: list[int] = []
    places = []
    for layer in layers:
        index = next((i for i, one in enumerate(maps) if not one[layer.mask].any()), len(maps))
        if index == len(maps):
            maps.append(np.zeros(layer.mask.shape, np.uint8))
            counts.append(0)
        counts[index] += 1
        maps[index][layer.mask] = counts[index]
        places.append((index, counts[index]))
    return maps, places


def _segment(layer: Layer) -> dict[str, str]:
    """The facts of a segment, by their keys without its number."""
    from boneseg.masks.terminology import colour_of

    colour = COLOUR if layer.label == BONE else colour_of(layer.label)
    name = layer.label.capitalize()
    return {
        "ID": name.replace(" ", "_"),
        "Name": name,
        "NameAutoGenerated": "0",
        "Color": " ".join(f"{level / 255:.6f}" for level in colour),
        "ColorAutoGenerated": "0",
        "Extent": _extent(layer.mask),
        "Tags": f"Segmentation.Status:inprogress|TerminologyEntry:{_terms(layer.label)}|",
    }


def _terms(label: str) -> str:
    """Category, type and region in SNOMED CT, as Slicer's terminologies write them."""
    from boneseg.masks.terminology import concept_of

    concept = concept_of(label)
    region = "^".join(("SCT", *concept.region)) if concept.region else "^^"
    return (
        "Segmentation category and type - 3D Slicer General Anatomy list"
        f"~SCT^123037004^Anatomical Structure~SCT^{concept.code}^{concept.meaning}~^^"
        f"~Anatomic codes - DICOM master list~{region}~^^"
    )


def _extent(mask: NDArray[np.bool_]) -> str:
    """First and last voxel of the segment along x, y and z; 0 and -1 if there is none."""
    if not mask.any():
        return "0 -1 0 -1 0 -1"
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return f"{columns[0]} {columns[-1]} {rows[0]} {rows[-1]} 0 0"


def drawings(path: Path) -> list[Drawing]:
    """The one film of the file, which is read on demand."""
    return [Drawing(partial(_read, path))]


def _read(path: Path, shape: Shape | None) -> Drawn:
    import nrrd

    with path.open("rb") as file:
        header = dict(nrrd.read_header(_lines(file)))
        if {"data file", "datafile"} & header.keys():
            raise MaskError("keeps its pixels in another file; save both in one")
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

    Segment names are UTF-8; pynrrd would keep only ASCII.
    """
    left = _HEADER
    while left > 0 and (line := file.readline(left)):
        left -= len(line)
        yield line.decode("utf-8", "replace")
        if not line.strip():
            return
    raise ValueError("an unterminated header")


def _unpacked(
    file: IO[bytes], header: Mapping[str, object], sides: list[int]
) -> NDArray[np.generic]:
    """The values, in Fortran order, of shape `sides`."""
    encoding, count = as_text(header["encoding"]).lower(), math.prod(sides)
    dtype = np.dtype(TYPES[as_text(header["type"]).lower()])
    is_text = encoding in ("txt", "text", "ascii")
    affordable(count, 8 if is_text else dtype.itemsize)
    if is_text:
        values = np.fromstring(_text(file, count), sep=" ", dtype=np.float64)
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
        data = gzip.GzipFile(fileobj=_packed(file, size)).read(size + 1)  # one or more members
    elif encoding in ("bz2", "bzip2"):
        data = bz2.BZ2File(_packed(file, size)).read(size + 1)
    else:
        raise MaskError(f"has the encoding {encoding}; save it with gzip or raw")
    if len(data) != size:
        raise ValueError("too few or too many bytes")
    return np.frombuffer(data, dtype).reshape(sides, order="F")


def _text(file: IO[bytes], count: int) -> str:
    """The text of `count` numbers, and little more."""
    return file.read(_DIGITS * count + _PACKING).decode("ascii")


def _packed(file: IO[bytes], size: int) -> IO[bytes]:
    """At most the bytes that `size` bytes can compress to: empty members could follow endlessly."""
    return io.BytesIO(file.read(2 * size + _PACKING))


def _refuse_turned(header: Mapping[str, object], dimensions: int) -> None:
    """Refuse an image whose axes are not those of its film."""
    directions, space = header.get("space directions"), header.get("space")
    if directions is None or not isinstance(space, str):
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
        "has axes rotated or mirrored relative to its film; save it with those of the film "
        "(x to the left, y to the back of the patient: LPS)"
    )


def _segments(
    header: Mapping[str, object], layers: list[NDArray[np.generic]]
) -> list[tuple[str, int, int, str]]:
    """Label, layer, value and kind of each region: the segments, then other values."""
    numbers = sorted({int(m[1]) for key in header if (m := re.match(r"Segment(\d+)_", key))})
    found = []
    for number in numbers:
        name = str(header.get(f"Segment{number}_Name", f"Segment {number}"))
        # Slicer before 4.11 gave each segment a layer without a number; other files have one layer.
        layer = as_integer(header.get(f"Segment{number}_Layer", number if len(layers) > 1 else 0))
        value = as_integer(header.get(f"Segment{number}_LabelValue", 1))
        if not 0 <= layer < len(layers) or value < 1:
            raise ValueError("a missing layer, or the background value")
        found.append((name, layer, value, "a segment"))
    claimed = {(layer, value) for _, layer, value, _ in found}
    for index, layer_data in enumerate(layers):
        for value in labels_in(layer_data):
            if (index, value) not in claimed:
                found.append((str(value), index, value, "a value"))
    return found
