"""Open TIFFs, also those that Pillow supports in one byte order only, and read their tags.

Pillow reads as many tags and pages as a file says that it has. Here its directories (TIFF 6.0,
section 2; one for each page) are walked first, and refused if they hold more than pictures do.

Imported for the first TIFF: Pillow's module takes longer than those of all other formats.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, TypeAlias

from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from boneseg.radiograph.film import MAX_PAGES

Tags: TypeAlias = TiffImagePlugin.ImageFileDirectory_v2 | dict[int, tuple[int, ...]]

_BITS, _WHITE, _FILL_ORDER, _FORMAT = 258, 262, 266, 339  # tags (TIFF 6.0, section 8 onwards)


_MOST_TAGS = 200_000  # of all pages that are counted; a page has some 20
_MOST_NUMBERS = 2**22  # in one tag; a film in tiles of 16 x 16 has 1.6 million places
_BYTES = (1, 2, 6, 7)  # types of tags that are kept as bytes (TIFF 6.0, section 2)


def open_tiff(file: BinaryIO) -> ImageFile.ImageFile:
    """Open a TIFF. Raises UnidentifiedImageError."""
    try:
        pages = _walked(file)
        file.seek(0)
        image = _Tiff(file)
        image.pages = pages
        return image
    except (SyntaxError, IndexError, TypeError, struct.error):
        raise UnidentifiedImageError("unsupported TIFF") from None


def pages_of(image: Image.Image) -> int:
    """The number of pages of an image that `open_tiff` opened, at most MAX_PAGES + 1."""
    return getattr(image, "pages", 1)


def _walked(file: BinaryIO) -> int:
    """The number of pages, at most MAX_PAGES + 1.

    Raises UnidentifiedImageError for more tags than a picture has, and struct.error.
    """
    pages = tags = 0
    for entries in _directories(file):
        pages, tags = pages + 1, tags + len(entries)
        if tags > _MOST_TAGS or any(n > _MOST_NUMBERS for kind, n in entries if kind not in _BYTES):
            raise UnidentifiedImageError("more tags than a picture has")
        if pages > MAX_PAGES:
            break
    return pages


def _directories(file: BinaryIO) -> Iterator[list[tuple[int, int]]]:
    """The types and counts of the tags of each directory, as far as they can be read."""
    file.seek(0)
    head = file.read(16)
    order, big = "<" if head[:2] == b"II" else ">", head[2] == 43  # as Pillow tells BigTIFF
    count, entry, place = (
        order + word for word in (("Q", "2xHQ8x", "Q") if big else ("H", "2xHI4x", "I"))
    )
    at = struct.unpack_from(place, head, 8 if big else 4)[0]
    seen: set[int] = set()
    while at and at not in seen:  # Pillow, too, ends a chain where it returns
        seen.add(at)
        try:
            file.seek(at)
            number = _read(file, count)
            if number > _MOST_TAGS:
                raise UnidentifiedImageError("more tags than a picture has")
            packed = file.read(number * struct.calcsize(entry))
            entries = list(struct.iter_unpack(entry, packed))
            at = _read(file, place)
        except (struct.error, OverflowError, OSError):  # the page is there, but it is damaged
            yield []
            return
        yield entries


def _read(file: BinaryIO, form: str) -> int:
    number: int = struct.unpack(form, file.read(struct.calcsize(form)))[0]
    return number


def tags_of(image: Image.Image) -> Tags:
    """The tags of a TIFF; none if the image has been copied from one."""
    return image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}


class _Tiff(TiffImagePlugin.TiffImageFile):
    """A TIFF, also one of 16 bits, big-endian, with 0 as white, as ImageJ writes it.

    Pillow 13 supports those in the other byte order only. The samples are the same with 0 as black.
    """

    pages = 1

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
