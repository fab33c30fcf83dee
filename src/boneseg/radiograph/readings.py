"""What text of an unknown encoding may say: file names of old archives, undeclared headers.

    "Müller" in readings_of_name("M\\udcfcller.dcm")
    "Иванова^Мария" in readings_of_person("Иванова^Мария".encode("cp1251"))

Bytes are decoded in every encoding that is common for names and that they are valid in. Most of the
results are nonsense, which must not match a harmless word. Nonsense in another script can only
match names in that script; the letters of Latin are the danger, so few of these are believed.
ASCII is the same in all encodings, and has no readings.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache

# Two bytes a letter: Japanese, Chinese and Korean.
_WIDE = ("cp932", "euc_jp", "gb18030", "cp949", "cp950")
# One byte a letter: Cyrillic, Greek, Hebrew, Arabic and Thai; cp866 is that of old archives.
_NARROW = (
    *("cp1251", "koi8_r", "iso8859_5", "cp866", "cp1253", "cp1255"),
    *("cp1256", "iso8859_6", "cp874"),
)
# cp437, cp850 and cp852 are those of old archives.
_LATIN = ("cp1252", "latin-1", "cp1250", "iso8859_2", "cp1254", "cp437", "cp850", "cp852")
_UNPACKED_AS = ("cp437", "cp1252", "latin-1")  # by programs to which an archive names no encoding
_ESCAPE = re.compile(rb"\x1b[\x20-\x2f]*[\x30-\x7e]")  # ISO 2022, before each change of script
_FOREIGN = re.compile(rb"[\x80-\xff\x1b]")


def readings_of_name(text: str) -> set[str]:
    """What the parts of a path or URL may say in other encodings; none of a text in ASCII."""
    found: set[str] = set()
    for part in re.split(r"[/\\]", text):  # folders and file may be of different systems
        if not part.isascii():
            for data in _bytes_of(part):
                found.update(_readings(data, lambda name: name))
    return found - {text}


def readings_of_person(data: bytes) -> set[str]:
    """What a person name may say in other encodings; none of one in ASCII."""
    return set(_readings(data, _without_latin))


def readings_of_number(data: bytes) -> set[str]:
    """What a number with letters may say in other encodings; none of one in ASCII."""
    return set(_readings(data, lambda number: number))


def _bytes_of(name: str) -> set[bytes]:
    """The bytes of a file name, and those that were read wrongly when it was unpacked."""
    found: set[bytes] = set()
    with suppress(UnicodeEncodeError):
        found.add(os.fsencode(name))
    for encoding in _UNPACKED_AS:
        with suppress(UnicodeEncodeError):
            found.add(name.encode(encoding))
    return found


def _readings(data: bytes, other_script: Callable[[str], str]) -> Iterator[str]:
    """other_script: what is believed of a reading in a script other than Latin."""
    if not _FOREIGN.search(data):
        return
    if b"\x1b" in data:
        yield from _decoded(data, ("iso2022_jp_2",))
        data = _ESCAPE.sub(b"", data)
    utf8 = list(_decoded(data, ("utf-8",)))
    yield from utf8
    # Text of one byte a letter is never valid UTF-8 as well, that of two bytes sometimes is.
    yield from map(other_script, _decoded(data, _WIDE if utf8 else _WIDE + _NARROW))
    if not utf8:
        yield from map(_likely_latin, _decoded(data, _LATIN))


def _decoded(data: bytes, encodings: tuple[str, ...]) -> Iterator[str]:
    for encoding in encodings:
        with suppress(UnicodeDecodeError):
            yield unicodedata.normalize("NFC", data.decode(encoding))


def _without_latin(text: str) -> str:
    """A reading without its Latin letters: they are what is left of broken words.

    >>> _without_latin("Yamada=山田^太郎").split()
    ['=山田^太郎']
    """
    return "".join(" " if _is_latin(letter) else letter for letter in text)


@lru_cache(maxsize=4096)
def _is_latin(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith("LATIN")


def _likely_latin(text: str) -> str:
    """A reading without the words that are improbable in Latin: few of whose letters are ASCII.

    >>> _likely_latin("Müller_ŽR“c^½").split()
    ['Müller_', '^']
    """
    return re.sub(r"[^\x00-\x40\x5b-\x60\x7b-\x7f]+", _believed, text)


def _believed(word: re.Match[str]) -> str:
    letters = word[0]
    plain = sum(letter.isascii() for letter in letters)
    return letters if letters.isalpha() and 2 * plain > len(letters) else " "
