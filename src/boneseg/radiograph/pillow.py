"""The samples of a picture as its file has them, where Pillow hands over less.

    with path.open("rb") as file, Image.open(file) as image:
        colours = deep_colours(image, path, index=0)    # uint16, or None where they have 8 bits
        image.load()
        grey = grey_values(image)                       # of a picture of one band

Of colours of 16 bits Pillow hands over the higher byte: of a film of 12 bits that is 16 greys. Told
that a sample's bytes come in the other order, it hands over the lower one. And of a TIFF it forgets
that samples of 8 bits have a sign, and that those of 32 have none.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin

from boneseg.errors import RadiographError

# tags of a TIFF (6.0, section 8 and on)
_BITS, _WHITE, _PLANES, _OPACITY, _FORMAT = 258, 262, 284, 338, 339
_NATIVE = "L" if sys.byteorder == "little" else "B"  # the order in which libtiff hands samples over
_OTHER = {"L": "B", "B": "L"}

# ImageJ writes films with an inverted table so. Pillow 13 reads them in the other byte order alone.
TiffImagePlugin.OPEN_INFO.setdefault((b"MM", 0, (1,), 1, (16,), ()), ("I;16B", "I;16B"))


def is_tiff(path: Path) -> bool:
    """Whether a file begins as a TIFF does. Raises OSError."""
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_white_zero(image: Image.Image) -> bool:
    """Whether 0 means white in what Pillow hands over: it inverts 8-bit TIFFs, but not deeper."""
    tags = getattr(image, "tag_v2", None)
    return tags is not None and tags.get(_WHITE) == 0 and image.mode not in ("1", "L")


def grey_values(image: Image.Image) -> NDArray[Any]:
    """The samples of a picture of one band."""
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    signed = 2 in tags.get(_FORMAT, (1,))
    if image.mode == "L" and signed:
        return values.view(np.int8)
    if image.mode == "I" and tags and not signed:
        return values.view(np.uint32)
    return values


def deep_colours(image: ImageFile.ImageFile, path: Path, index: int) -> NDArray[np.uint16] | None:
    """Samples of 16 bits: height x width x (grey or colours, and opacity where there is one).

    None where the picture has none. `image` is this picture of the file, not loaded yet. Raises
    RadiographError for what Pillow mistakes.
    """
    _refuse_mistaken(getattr(image, "tag_v2", {}), path)
    tiles = [_lower(tile) for tile in image.tile]
    lower = [tile for tile in tiles if tile is not None]
    animated = image.format == "PNG" and index > 0  # a frame is drawn on those before
    if not lower or len(lower) < len(tiles) or animated or "transparency" in image.info:
        return None
    with path.open("rb") as file, Image.open(file, formats=[image.format or ""]) as again:
        again.seek(index)
        again.tile = lower
        again.load()
        low = np.asarray(again)
    if lower[0].args == "RGBA":  # both bytes of grey, and both of the opacity
        return low.view(">u2").astype(np.uint16)
    image.load()
    samples: NDArray[np.uint16] = np.asarray(image).astype(np.uint16)
    samples <<= 8
    samples |= low
    return samples


def _refuse_mistaken(tags: Any, path: Path) -> None:
    """Refuse a TIFF of 16-bit colours, or of grey and opacity, that Pillow takes for another."""
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
    """A tile read for the lower bytes of its samples; None where they have one byte alone."""
    kind, *more = (tile.args,) if isinstance(tile.args, str) else tile.args or ("",)
    word, _, order = str(kind).partition(";16")  # of a GIF, a number
    if kind == "LA;16B":
        lower = "RGBA"
    elif word in ("RGB", "RGBA", "RGBX") and order in (*_OTHER, "N"):
        lower = f"{word};16{_OTHER[_NATIVE if order == 'N' else order]}"
    else:
        return None
    return tile._replace(args=(lower, *more) if more else lower)
