"""Packing of pixels for the page, gzipped (Content-Encoding).

A canvas reduces a 16-bit PNG to 8 bits, so windowing on the page would only stretch 256 greys. The
page therefore gets raw numbers:

    film          uint16, little-endian; 65535 is 1.0
    probability   uint8; floor(256 p), so that p >= k / 256 is exact
    mask          a bit per pixel, row-major without padding, most significant bit first
"""

from __future__ import annotations

import gzip
import io
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boneseg.errors import MaskError
from boneseg.masks.formats.png import encoded_mask
from boneseg.preprocessing import Floats

Mask = NDArray[np.bool_]


def packed_film(pixels: Floats) -> bytes:
    """float32 H x W in [0, 1] as gzipped uint16."""
    return _zipped((pixels * np.float32(65535) + np.float32(0.5)).astype("<u2"))


def packed_probability(probability: Floats) -> bytes:
    """float32 H x W in [0, 1] as gzipped uint8."""
    return _zipped(np.minimum(probability * np.float32(256), 255).astype(np.uint8))


def packed_mask(mask: Mask) -> bytes:
    """bool H x W as gzipped bits."""
    return _zipped(np.packbits(mask))


def unpacked_mask(bits: bytes, shape: tuple[int, int], name: str) -> Mask:
    """Bits (not gzipped) to bool of `shape` (height, width). Raises MaskError for another size."""
    height, width = shape
    wanted = (height * width + 7) // 8
    if len(bits) != wanted:
        problem = f"{len(bits)} bytes are not a mask of {height} x {width} pixels"
        raise MaskError(f"{name}: {problem}; send {wanted} bytes, a bit per pixel, or a PNG")
    flat = np.unpackbits(np.frombuffer(bits, np.uint8), count=height * width)
    return flat.reshape(height, width).view(np.bool_)


def unzipped_mask(packed: bytes, shape: tuple[int, int], name: str) -> Mask:
    """A `packed_mask` of `shape` (height, width). Raises MaskError for a damaged or other one."""
    return unpacked_mask(_unzipped(packed, shape[0] * shape[1], name), shape, name)


def is_threshold_of(mask: Mask, packed: bytes, name: str) -> bool:
    """Whether a mask is what some threshold makes of a `packed_probability`.

    Raises MaskError for a damaged one; `name` is the film's.
    """
    content = _unzipped(packed, mask.size, name)
    if len(content) != mask.size:
        raise MaskError(f"{name}: its probability is of another size; segment it again")
    values = np.frombuffer(content, np.uint8).reshape(mask.shape)
    if mask.all() or not mask.any():
        return True
    return int(values[~mask].max()) < int(values[mask].min())


def png_mask(mask: Mask, *, small: bool = False) -> bytes:
    """bool H x W as PNG: 0/255, or with `small` one bit per pixel."""
    return png(Image.fromarray(np.asarray(mask, np.bool_))) if small else encoded_mask(mask)


def png(image: Image.Image) -> bytes:
    encoded = io.BytesIO()
    image.save(encoded, "PNG", compress_level=1)
    return encoded.getvalue()


def _unzipped(packed: bytes, most: int, name: str) -> bytes:
    """Gzipped bytes; at most one more than `most` are unpacked."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            return file.read(most + 1)
    except (OSError, EOFError, zlib.error):
        raise MaskError(f"{name}: what is stored of it is damaged; segment it again") from None


def _zipped(values: NDArray[np.generic]) -> bytes:
    return gzip.compress(np.ascontiguousarray(values).tobytes(), compresslevel=1, mtime=0)
