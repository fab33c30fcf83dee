"""Masks and probabilities as PNG.

    write_mask(Path("out/knee_mask.png"), mask)
    write_bones(Path("out/knee_bones"), segmentation)      # out/knee_bones/femur.png, tibia.png

Masks are read in `masks/picture.py`, and such a folder here: the name of a file is its label.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boneseg._util.files import CLUTTER, folder_beside, replace_folder, whole_file
from boneseg.errors import MaskError, OutputError
from boneseg.masks.segmentation import Segmentation
from boneseg.masks.types import Drawing, Drawn, Patch, Region, Shape, fits
from boneseg.radiograph.pillow import open_image
from boneseg.radiograph.provenance import SOFTWARE, is_result
from boneseg.radiograph.sniff import PNG_SIGNATURE

_KINDS = {"L": (8, 0), "I;16": (16, 0), "RGB": (8, 2), "P": (8, 3)}  # bits, and type of colour
_UP = 2  # the filter of a row: less the row above

# Libraries that come with imagecodecs pack a mask of 12 megapixels in a fifth of the time of zlib
# (zlib-ng), and an overlay in half of it, to three quarters of the size (libdeflate). Small ones
# are packed before imagecodecs is imported.
_LARGE = 2**20  # bytes


def write(path: Path, segmentation: Segmentation) -> None:
    """Write the mask of a film: 8 bits, 0 and 255, on the film's own grid. Raises OutputError."""
    write_mask(path, segmentation.mask)


def write_scores(path: Path, segmentation: Segmentation) -> None:
    """Write the probability of bone on a film, on the film's own grid. Raises OutputError."""
    assert segmentation.probability is not None  # `FilmFormat.drawn`
    write_probability(path, segmentation.probability)


def write_bones(path: Path, segmentation: Segmentation) -> None:
    """Write a folder with the mask of each bone that the film shows, and of bone without a name.

    It replaces an earlier one. Raises OutputError, also where a folder of this name holds anything
    that boneseg has not written.
    """
    with folder_beside(path) as building:
        for layer in segmentation.layers:
            (building / bone_file(layer.label)).write_bytes(encoded_mask(layer.mask))
        check_replaceable(path)
        replace_folder(path, building)


def check_replaceable(path: Path) -> None:
    """Raise OutputError for a folder that holds anything that boneseg has not written."""
    if path.is_dir() and not all(map(_is_ours, path.iterdir())):
        raise OutputError(
            f"{path}: holds files that boneseg did not write, so it is not replaced; move it, "
            "or choose another folder for --out"
        )


def drawings(folder: Path) -> list[Drawing]:
    """The one film of a folder of masks, which is read on demand."""
    return [Drawing(partial(_read, folder))]


def _read(folder: Path, shape: Shape | None) -> Drawn:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".png")
    if shape is None and files:
        with files[0].open("rb") as file, open_image(file, ("PNG",)) as first:
            shape = fits((first.height, first.width), None)
    return Drawn(
        tuple(Region(bone_name(path), partial(_painted, path), "a mask") for path in files), shape
    )


def _painted(path: Path, shape: Shape) -> Patch:
    from boneseg.masks.picture import read_picture

    return Patch(read_picture(path, shape, formats=("PNG",)))


def bone_file(name: str) -> str:
    """The name of a bone's file in its folder: "hip_bone.png"."""
    return f"{name.replace(' ', '_')}.png"


def bone_name(path: Path) -> str:
    """The name of the bone in a file, as `bone_file` called it."""
    return path.stem.replace("_", " ")


def _is_ours(path: Path) -> bool:
    return path.is_file() and (path.name in CLUTTER or is_result(path))


def write_mask(path: Path | str, mask: NDArray[np.generic]) -> None:
    """Write a mask (height x width; bool, or integers where all but 0 is bone) as 0/255 PNG.

    The file appears complete or not at all. Raises MaskError for another shape or type, and
    OutputError where the file cannot be written.
    """
    path, mask = Path(path), np.asarray(mask)
    if mask.ndim != 2 or mask.size == 0 or mask.dtype.kind not in "bui":
        raise MaskError(
            f"{path}: a mask is bool, height x width, not {mask.dtype} of shape {mask.shape}; "
            "threshold it first"
        )
    with whole_file(path) as temporary:
        temporary.write_bytes(encoded_mask(np.asarray(mask, np.bool_)))


def write_probability(path: Path, probability: NDArray[np.float32]) -> None:
    """Write float32 H x W in [0, 1] as a 16-bit PNG, in steps of 1/65535. Raises OutputError."""
    save_png(path, Image.fromarray(np.rint(probability * 65535).astype(np.uint16)))


def read_probability(path: Path) -> NDArray[np.float32]:
    """The probability that `write_probability` wrote. Raises OSError or ValueError if it is missing
    or damaged."""
    with Image.open(path, formats=("PNG",)) as image:
        return np.asarray(image, np.float32) / np.float32(65535)


def save_png(path: Path, image: Image.Image) -> None:
    """Write an image of mode L, I;16, RGB or P as PNG, complete or not at all; raises OutputError.

    Its "Software" text distinguishes it from a film: see `radiograph/provenance.py`.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(encoded_picture(image))


def encoded_mask(mask: NDArray[np.bool_]) -> bytes:
    """A mask, bool H x W, as the content of a PNG file of 8 bits, 0 and 255 (PNG, third edition).

    Of one bit a pixel it would take a quarter of the size, but Pillow reads those as bool, and a
    comparison with 127 finds no bone.
    """
    height, width = mask.shape
    rows = np.empty((height, 1 + width), np.uint8)
    rows[:, 0] = 0  # each begins with its filter: none
    np.multiply(mask, np.uint8(255), out=rows[:, 1:])
    return _png((height, width), "L", _packed_runs(rows))


def encoded_picture(image: Image.Image) -> bytes:
    """An image of mode L, I;16, RGB or P as the content of a PNG file."""
    values = np.asarray(image)
    if image.mode == "I;16":
        values = values.astype(">u2")
    height, width = values.shape[:2]
    lines = np.ascontiguousarray(values).view(np.uint8).reshape(height, -1)
    rows = np.full((height, 1 + lines.shape[1]), _UP, np.uint8)
    rows[0, 1:] = lines[0]
    np.subtract(lines[1:], lines[:-1], out=rows[1:, 1:])
    return _png((height, width), image.mode, _packed(rows), bytes(image.getpalette() or ()))


def _packed_runs(rows: NDArray[np.uint8]) -> bytes:
    """The zlib stream of rows that are long runs."""
    if rows.size >= _LARGE:
        return _codec("zlibng_encode")(rows, level=2)
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    return packer.compress(rows.data) + packer.flush()


def _packed(rows: NDArray[np.uint8]) -> bytes:
    """The zlib stream of the rows of a picture."""
    if rows.size >= _LARGE:
        return _codec("deflate_encode")(rows, level=1)
    return zlib.compress(rows.data, 1)


def _codec(name: str) -> Callable[..., bytes]:
    """An encoder of imagecodecs, whose annotations leave out arrays."""
    import imagecodecs

    found: Callable[..., bytes] = getattr(imagecodecs, name)
    return found


def _png(size: tuple[int, int], mode: str, rows: bytes, palette: bytes = b"") -> bytes:
    """The content of a file of (height, width) px, from its packed rows.

    Its "Software" text distinguishes it from a film: see `radiograph/provenance.py`.
    """
    chunks = [
        (b"IHDR", struct.pack(">II", size[1], size[0]) + bytes((*_KINDS[mode], 0, 0, 0))),
        (b"tEXt", f"Software\0{SOFTWARE}".encode("ascii")),
        *([(b"PLTE", palette)] if palette else []),
        (b"IDAT", rows),
        (b"IEND", b""),
    ]
    return PNG_SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
