"""Read image samples at full precision where Pillow returns less.

    with path.open("rb") as file, open_image(file, ("PNG", "TIFF")) as image:
        colours = deep_colours(image, path, index=0)    # uint16, or None for 8-bit samples
        image.load()
        grey = grey_values(image)                       # of a single-channel image

Of 16-bit colour samples Pillow returns only the high byte, which leaves 16 grey levels of a 12-bit
film. Reading again with the byte order swapped yields the low byte. Of TIFF samples Pillow also
ignores that 8-bit ones may be signed and 32-bit ones unsigned.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from boneseg.errors import RadiographError
from boneseg.radiograph.film import MAX_BYTES, MAX_PACKED, MAX_SCANS, check_bytes
from boneseg.radiograph.png import check_chunks
from boneseg.radiograph.sniff import PNG_SIGNATURE, TIFF_SIGNATURES

if TYPE_CHECKING:
    from boneseg.radiograph.tiff import Tags

# TIFF tags (TIFF 6.0, section 8 onwards)
_BITS, _WHITE, _PLANES, _OPACITY, _FORMAT = 258, 262, 284, 338, 339
_SCAN, _BLOCK = b"\xff\xda", 2**20  # the marker of a JPEG scan; bytes read at once
_NATIVE = "L" if sys.byteorder == "little" else "B"  # byte order of samples from libtiff
_OTHER = {"L": "B", "B": "L"}
# The start of formats that hold 16 bits a sample, or are not compressed: PNG, TIFF, BMP and PPM.
_PLAIN = (PNG_SIGNATURE, *TIFF_SIGNATURES, b"BM", b"P")


def open_image(file: BinaryIO, formats: tuple[str, ...]) -> ImageFile.ImageFile:
    """Open an image in one of these formats (Pillow's names).

    Raises what `Image.open` does, and RadiographError for a file that is larger than any picture
    of its format: Pillow reads a WebP, and what is beside the pixels of others, as a whole.
    """
    start = file.read(len(PNG_SIGNATURE))
    file.seek(0)
    most = MAX_BYTES if start.startswith(_PLAIN) else MAX_PACKED
    check_bytes(file.name, os.fstat(file.fileno()).st_size, most)
    if "TIFF" in formats and start.startswith(TIFF_SIGNATURES):
        from boneseg.radiograph.tiff import open_tiff  # imports more than any other format

        return open_tiff(file)
    if "PNG" in formats and start == PNG_SIGNATURE:
        check_chunks(file)
        file.seek(0)
        return _open_png(file)
    return Image.open(file, formats=formats)


def _open_png(file: BinaryIO) -> ImageFile.ImageFile:
    """As `Image.open`, which imports the modules of five formats: a hundredth of a cold start."""
    from PIL.PngImagePlugin import PngImageFile

    try:
        return PngImageFile(file)
    except (SyntaxError, IndexError, TypeError, struct.error) as error:
        raise UnidentifiedImageError(str(error)) from None


def counted_frames(image: Image.Image) -> int:
    """The number of frames or pages, of a TIFF at most MAX_PAGES + 1.

    Pillow's `n_frames` reads every page of a TIFF, and compares it with all before it. An MPO is a
    camera JPEG, whose images after the first are previews.
    """
    if image.format == "TIFF":
        from boneseg.radiograph.tiff import pages_of

        return pages_of(image)
    return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def check_scans(image: Image.Image, path: Path) -> None:
    """Refuse a JPEG with so many scans that decoding takes minutes. Raises RadiographError.

    In the data of a scan a byte FF is followed by 00 or by the code of a restart marker (ITU-T T.81
    F.1.2.3), so the markers of scans can be counted. libtiff has its own limit for JPEG in TIFF.
    """
    if image.format not in ("JPEG", "MPO"):
        return
    count, last = 0, b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            count += (last + block).count(_SCAN)
            last = block[-1:]
    if count > MAX_SCANS:
        raise RadiographError(
            f"{path}: is a JPEG of {count} scans, more than any picture needs; save it as PNG"
        )


def _tags(image: Image.Image) -> Tags:
    """The tags of a TIFF; none for other formats."""
    if image.format != "TIFF":
        return {}
    from boneseg.radiograph.tiff import tags_of

    return tags_of(image)


def is_white_zero(image: Image.Image) -> bool:
    """Whether 0 is white in the decoded values: Pillow inverts 8-bit TIFFs, but not deeper ones."""
    return _tags(image).get(_WHITE) == 0 and image.mode not in ("1", "L")


def grey_values(image: Image.Image) -> NDArray[np.number]:
    """The samples of a single-channel image."""
    values = np.asarray(image)
    tags = _tags(image)
    signed = 2 in tags.get(_FORMAT, (1,))
    if image.mode == "L" and signed:
        return values.view(np.int8)
    if image.mode == "I" and tags and not signed:
        return values.view(np.uint32)
    return values


def deep_colours(image: ImageFile.ImageFile, path: Path, index: int) -> NDArray[np.uint16] | None:
    """Read 16-bit samples: height x width x channels (grey or RGB, then alpha if present).

    Returns None if the samples are not 16-bit. `image` must not be loaded yet. Raises
    RadiographError for TIFFs that Pillow misreads.
    """
    _refuse_misread(image, path)
    tiles = [_lower(tile) for tile in image.tile]
    lower = [tile for tile in tiles if tile is not None]
    animated = image.format == "PNG" and index > 0  # a frame is composited on the previous ones
    if not lower or len(lower) < len(tiles) or animated or "transparency" in image.info:
        return None
    with path.open("rb") as file, open_image(file, (image.format or "",)) as again:
        again.seek(index)
        again.tile = lower
        again.load()
        low = np.asarray(again)
    if lower[0].args == "RGBA":  # both bytes of grey and of alpha
        return low.view(">u2").astype(np.uint16)
    image.load()
    samples: NDArray[np.uint16] = np.asarray(image).astype(np.uint16)
    samples <<= 8
    samples |= low
    return samples


def _refuse_misread(image: Image.Image, path: Path) -> None:
    """Reject a TIFF of 16-bit colours, or of grey with alpha, that Pillow misreads."""
    tags = _tags(image)
    bits = tags.get(_BITS, ())
    if len(bits) != 2 and bits[:2] != (16, 16):
        return
    if tags.get(_PLANES) == 2:
        problem = "with its channels in separate planes"
    elif 1 in tags.get(_OPACITY, ()):
        problem = "with premultiplied alpha"
    else:
        return
    raise RadiographError(f"{path}: is a TIFF {problem}; save it as a greyscale PNG")


def _lower(tile: ImageFile._Tile) -> ImageFile._Tile | None:
    """The tile set up to read the low bytes of its samples; None for 8-bit samples."""
    kind, *more = (tile.args,) if isinstance(tile.args, str) else tile.args or ("",)
    word, _, order = str(kind).partition(";16")  # for a GIF, a number
    if kind == "LA;16B":
        lower = "RGBA"
    elif word in ("RGB", "RGBA", "RGBX") and order in (*_OTHER, "N"):
        lower = f"{word};16{_OTHER[_NATIVE if order == 'N' else order]}"
    else:
        return None
    return tile._replace(args=(lower, *more) if more else lower)
