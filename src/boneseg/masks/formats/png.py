"""Masks and probabilities as PNG.

    write_mask(Path("out/knee_mask.png"), mask)

Masks are read in `masks/picture.py`.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from boneseg._util.files import whole_file
from boneseg.errors import MaskError
from boneseg.masks.segmentation import Segmentation
from boneseg.radiograph.provenance import SOFTWARE

_STRIPE = 512  # rows that are encoded at once


def write(path: Path, segmentation: Segmentation) -> None:
    """Write the mask of a film: 8 bits, 0 and 255, on the film's own grid. Raises OutputError."""
    write_mask(path, segmentation.mask)


def write_scores(path: Path, segmentation: Segmentation) -> None:
    """Write the probability of bone on a film, on the film's own grid. Raises OutputError."""
    assert segmentation.probability is not None  # `FilmFormat.drawn`
    write_probability(path, segmentation.probability)


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
    with Image.open(path) as image:
        return np.asarray(image, np.float32) / np.float32(65535)


def encoded_mask(mask: NDArray[np.bool_]) -> bytes:
    """A mask, bool H x W, as the content of a PNG file of 8 bits, 0 and 255 (PNG, third edition).

    Its rows are long runs, which zlib's strategy for runs takes in less than half of the time that
    Pillow needs, to a quarter of the size. Of one bit a pixel they would take an eighth, but Pillow
    reads those as bool, and a comparison with 127 finds no bone.
    """
    height, width = mask.shape
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    data = []
    for top in range(0, height, _STRIPE):
        stripe = mask[top : top + _STRIPE]
        rows = np.zeros((len(stripe), 1 + width), np.uint8)  # each begins with its filter: none
        np.multiply(stripe, np.uint8(255), out=rows[:, 1:])
        data.append(packer.compress(rows.data))
    data.append(packer.flush())
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"tEXt", f"Software\0{SOFTWARE}".encode("ascii")),
        (b"IDAT", b"".join(data)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def save_png(path: Path, image: Image.Image) -> None:
    """Write an image as PNG, complete or not at all; raises OutputError.

    Its "Software" text distinguishes it from a film: see `radiograph/provenance.py`.
    """
    encoded, software = io.BytesIO(), PngInfo()
    software.add_text("Software", SOFTWARE)
    image.save(encoded, "PNG", compress_level=1, pnginfo=software)
    with whole_file(path) as temporary:
        temporary.write_bytes(encoded.getbuffer())
