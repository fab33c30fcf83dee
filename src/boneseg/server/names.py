"""Names for films that come from outside: never a path, and never one that is taken."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from boneseg.annotations import DICOM_SUFFIXES
from boneseg.pairing import FILM_ENDING, IMAGE_SUFFIXES, MASK_ENDING, as_compared, stem_of

_MARKS = {  # how the files begin that a browser or a program may send
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"BM": ".bmp",
    b"RIFF": ".webp",
}


def safe_name(name: str, path: Path) -> tuple[str, str]:
    """A stem and a suffix that are plain names: what comes from outside never becomes a path."""
    last = re.split(r"[\\/]", name)[-1]
    joined = unicodedata.normalize("NFC", last)
    plain = "".join(letter if _is_plain(letter) else "_" for letter in joined).strip(" .")
    stem = stem_of(Path(plain))
    suffix = plain[len(stem) :].lower()
    with path.open("rb") as file:
        head = file.read(132)
    dicom = head[128:] == b"DICM"
    if dicom and suffix not in DICOM_SUFFIXES:
        suffix = ".dcm"
    elif not dicom and suffix not in IMAGE_SUFFIXES:
        suffix = next((known for mark, known in _MARKS.items() if head.startswith(mark)), suffix)
    short = stem.encode()[:120].decode(errors="ignore")  # a name has 255 bytes
    return short or "film", suffix


def free_name(stem: str, taken: Iterable[str]) -> str:
    """The stem, with a number where its film or mask could be paired with a film or mask there."""
    known = {form for name in taken for form in _forms(name)}
    number, free = 2, stem
    while not known.isdisjoint(_forms(free)):
        number, free = number + 1, f"{stem}-{number}"
    return free


def _is_plain(letter: str) -> bool:
    """Also of vowels and accents that no single letter holds together with the one before."""
    return bool(re.match(r"[\w .()+-]", letter)) or unicodedata.category(letter).startswith("M")


def _forms(name: str) -> set[str]:
    """What a film or a mask of this name answers to: see `pairing.pair`."""
    forms = (name, MASK_ENDING.sub("", name), FILM_ENDING.sub("", name))
    return {as_compared(form) for form in forms}
