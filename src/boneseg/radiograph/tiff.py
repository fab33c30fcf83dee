"""Open TIFFs, also those that Pillow supports in one byte order only, and read their tags.

Imported for the first TIFF: Pillow's module takes longer than those of all other formats.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, TypeAlias

from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

Tags: TypeAlias = TiffImagePlugin.ImageFileDirectory_v2 | dict[int, tuple[int, ...]]

_BITS, _WHITE, _FILL_ORDER, _FORMAT = 258, 262, 266, 339  # tags (TIFF 6.0, section 8 onwards)


def open_tiff(file: BinaryIO) -> ImageFile.ImageFile:
    """Open a TIFF. Raises UnidentifiedImageError."""
    file.seek(0)
    try:
        return _Tiff(file)
    except (SyntaxError, IndexError, TypeError, struct.error):
        raise UnidentifiedImageError("unsupported TIFF") from None


def tags_of(image: Image.Image) -> Tags:
    """The tags of a TIFF; none if the image has been copied from one."""
    return image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}


class _Tiff(TiffImagePlugin.TiffImageFile):
    """A TIFF, also one of 16 bits, big-endian, with 0 as white, as ImageJ writes it.

    Pillow 13 supports those in the other byte order only. The samples are the same with 0 as black.
    """

    def _setup(self) -> None:
        tags = self.tag_v2
        known = (tags.get(_BITS), tags.get(_FORMAT, (1,)), tags.get(_FILL_ORDER, 1))
        odd = tags.prefix == b"MM" and tags.get(_WHITE) == 0 and known == ((16,), (1,), 1)
        if odd:
            tags[_WHITE] = 1
        try:
            super()._setup()
        finally:
            if odd:
                tags[_WHITE] = 0
