"""Safe and unique names for uploaded films."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from boneseg._util.text import as_compared
from boneseg.dataset.pairing import FILM_ENDING, MASK_ENDING
from boneseg.errors import RadiographError
from boneseg.masks.filenames import IMAGE_SUFFIXES, stem_of
from boneseg.radiograph.sniff import DICOM_SUFFIXES

_TIFF = (".tif", ".tiff")
_MARKS = {  # magic numbers of the accepted files, and their suffixes
    b"\x89PNG": (".png",),
    b"\xff\xd8\xff": (".jpg", ".jpeg", ".jpe", ".jfif"),
    b"II*\0": _TIFF,
    b"MM\0*": _TIFF,
    b"II+\0": _TIFF,  # BigTIFF
    b"MM\0+": _TIFF,
    b"BM": (".bmp",),
    b"RIFF": (".webp",),
}


def safe_name(name: str, path: Path) -> tuple[str, str]:
    """A stem and a suffix without path separators for an uploaded file.

    The suffix follows the content where the name disagrees, since it decides which files of a
    folder are films. Raises RadiographError where neither identifies the file.
    """
    last = re.split(r"[\\/]", name)[-1]
    joined = unicodedata.normalize("NFC", last)
    plain = "".join(letter if _is_plain(letter) else "_" for letter in joined).strip(" .")
    stem = stem_of(Path(plain))
    suffix = plain[len(stem) :].lower()
    with path.open("rb") as file:
        head = file.read(132)
    known = next((known for mark, known in _MARKS.items() if head.startswith(mark)), None)
    if head[128:] == b"DICM":
        known = DICOM_SUFFIXES
    if known is None and suffix not in IMAGE_SUFFIXES + DICOM_SUFFIXES:
        raise RadiographError(f"{last}: is not an image of a known format; use PNG, TIFF or DICOM")
    if known is not None and suffix not in known:
        suffix = known[0]
    short = stem.encode()[:120].decode(errors="ignore")  # file names have at most 255 bytes
    return short or "film", suffix


def free_name(stem: str, taken: Iterable[str]) -> str:
    """The stem, numbered where it would pair with an existing film or mask."""
    known = {form for name in taken for form in _forms(name)}
    number, free = 2, stem
    while not known.isdisjoint(_forms(free)):
        number, free = number + 1, f"{stem}-{number}"
    return free


def _is_plain(letter: str) -> bool:
    """Also true of combining marks that have no precomposed letter."""
    return bool(re.match(r"[\w .()+-]", letter)) or unicodedata.category(letter).startswith("M")


def _forms(name: str) -> set[str]:
    """The names under which a film or mask is paired: see `dataset.pairing.pair`."""
    forms = (name, MASK_ENDING.sub("", name), FILM_ENDING.sub("", name))
    return {as_compared(form) for form in forms}
