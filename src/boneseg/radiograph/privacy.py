"""Keep the identity of the patient out of file names, messages and outputs.

    public_path(Path("clinic/DOE_JOHN.dcm"))    # film-3f2a91b0c4de.dcm
    public_path(Path("clinic/knee.dcm"))        # clinic/knee.dcm

Nothing from a DICOM header is written to masks, overlays, tables or messages, so only a file or
folder name could identify a patient. Such a name is replaced by a hash of the file's content (a
hash of the name could be reversed by guessing names); `sha256sum` identifies the film. Names are
compared with the header of the film itself: images without a header (PNG) keep their names. Where
the header of a DICOM file is damaged or truncated nobody knows whom it names, and any name is
replaced. Text in an undeclared encoding is compared in all likely ones (`readings.py`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from boneseg._util.files import file_digest
from boneseg._util.quiet import quiet
from boneseg.radiograph.film import MAX_BYTES
from boneseg.radiograph.sniff import has_dicom_mark, is_dicom

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# The identifiers of a person, admission or examination in PS3.15 Table E.1-1, anywhere in the
# header, and every person name (VR PN).
_NUMBERS = frozenset(
    (
        *("PatientID", "OtherPatientIDs", "AccessionNumber", "MedicalRecordLocator"),
        *("PatientTelephoneNumbers", "PatientAddress", "AdmissionID"),
    )
)
_DATES = frozenset(("PatientBirthDate", "PatientBirthDateInAlternativeCalendar"))
# Nothing of the patient stands behind this tag, but in sequences about the request.
_LAST_OF_PATIENT = 0x0038FFFF
# Groups 0002 and 0008, in both byte orders: with these a data set without the mark begins.
_BEGINNINGS = (b"\2\0", b"\0\2", b"\x08\0", b"\0\x08")
_LONG = 3  # letters or digits; shorter ones match whole words only, or every name would match
# Letters without a Unicode decomposition, and those also transcribed as two letters.
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe"})
_PAIRS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})


def public_path(path: Path, header: Dataset | None = None, *, keep_names: bool = False) -> Path:
    """The path of a film in outputs and messages, or a hash if the path identifies the patient.

    header: that of a DICOM film, if it has been read. Never raises: a file that cannot be opened
    keeps its name.
    """
    return path if keep_names else _alias(path, str(path), header) or path


def public_name(path: Path) -> str:
    """As `public_path`, for the file name only."""
    alias = _alias(path, path.name)
    return alias.name if alias else path.name


def _alias(film: Path, text: str, header: Dataset | None = None) -> Path | None:
    """The replacement name if the text identifies the patient, else None."""
    with suppress(OSError):
        if (header is not None or is_dicom(film)) and gives_away(text, film, header):
            # a file over the limit is no film, but it still needs a name in messages
            return Path(f"film-{file_digest(film, MAX_BYTES)[:12]}.dcm")
    return None


def gives_away(text: str, film: Path, header: Dataset | None = None) -> bool:
    """Whether a text contains patient identifiers from the header of a DICOM film.

    Case, accents and separators are ignored; birth dates are matched in all common orders of
    year, month and day. Any text might, if the header of a DICOM file is damaged or truncated.
    header: the film's, if it has been read.
    """
    identifiers, is_whole = _identifiers(film, header)
    if not is_whole and _begins_as_dicom(film):
        return True
    from boneseg.radiograph.readings import readings_of_name  # not needed for pictures

    texts = {text, unquote(text, errors="surrogateescape")}  # it may be a URL
    texts.update(*map(readings_of_name, texts))
    return any(_contains(spelled, identifiers) for spelled in texts)


def _contains(text: str, identifiers: set[str]) -> bool:
    words = _words(text)
    joined = "".join(words)
    return any(
        identifier in joined if _is_long(identifier) else identifier in words
        for identifier in identifiers
    )


def _begins_as_dicom(film: Path) -> bool:
    with film.open("rb") as file:
        return file.read(2) in _BEGINNINGS or has_dicom_mark(film)


def _is_long(identifier: str) -> bool:
    """Whether an identifier is long enough to match within a word; two ideographs are."""
    wide = sum(unicodedata.east_asian_width(letter) == "W" for letter in identifier)
    return len(identifier) + wide // 2 >= _LONG


def _words(text: str) -> list[str]:
    """
    >>> _words("Müller-Lüdenscheidt_0042b")
    ['muller', 'ludenscheidt', '0042', 'b']
    """
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return re.findall(r"[^\W\d_]+|\d+", bare.casefold().translate(_LETTERS))


def _identifiers(film: Path, header: Dataset | None) -> tuple[set[str], bool]:
    """The identifiers in the header, and whether it could be read as a whole."""
    from boneseg.radiograph.dicom.file import PIXEL_DATA, read_header

    found: set[str] = set()
    is_whole = False
    with quiet(), suppress(Exception):  # a header may be damaged anywhere
        if header is None:
            header, is_image = read_header(film)
        else:
            is_image = any(tag in header for tag in PIXEL_DATA)
        ends = is_image or _has_ended(header)  # before any element is decoded
        found.update(_found_in(header))
        is_whole = ends
    return found, is_whole


def _has_ended(header: Dataset) -> bool:
    """Whether a header without pixel data behind it seems to end where it was meant to.

    That of a document or an index does; a film has been truncated.
    """
    last = header.get_item(max(header.keys()))
    value = getattr(last, "value", None)
    if isinstance(value, bytes) and len(value) < getattr(last, "length", 0) < 0xFFFFFFFF:
        return False
    return "DirectoryRecordSequence" in header or int(last.tag) > _LAST_OF_PATIENT


def _found_in(dataset: Dataset) -> Iterator[str]:
    """The identifiers as they may appear in a name: lower-case letters and digits."""
    from pydicom.dataset import Dataset

    for tag in list(dataset.keys()):
        known, keyword = _defined(int(tag))
        told = known in ("", "PN", "SQ") or keyword in _DATES | _NUMBERS
        if not told and dataset.get_item(tag).VR != "SQ":
            continue
        raw = _raw(dataset, tag)
        vr, values = _values(dataset, tag, known)
        for value in values:
            if isinstance(value, Dataset):  # an item of a sequence
                yield from _found_in(value)
            elif vr == "PN":
                yield from _names(str(value))
            elif keyword in _DATES:
                yield from _orders("".join(_words(str(value))))
            elif keyword in _NUMBERS:
                yield from _numbers(str(value))
        if raw:
            yield from _misread(raw, vr, keyword)


def _raw(dataset: Dataset, tag: int) -> bytes:
    """The bytes of a text that may be of another encoding than declared.

    Empty if it has been decoded, as nothing has in a header just read.
    """
    value = dataset.get_item(tag).value
    if not isinstance(value, bytes):
        return b""
    with suppress(UnicodeDecodeError):
        if "UTF8" in (dataset.original_character_set or "") and b"\x1b" not in value:
            value.decode()
            return b""
    return value


def _misread(raw: bytes, vr: str, keyword: str) -> Iterator[str]:
    """The identifiers in other encodings."""
    from boneseg.radiograph.readings import readings_of_number, readings_of_person

    if vr == "PN":
        for text in readings_of_person(raw):
            for person in text.split("\\"):
                yield from _names(person)
    elif keyword in _NUMBERS:
        for text in readings_of_number(raw):
            for number in text.split("\\"):
                yield from filter(_is_long, _numbers(number))


def _numbers(text: str) -> set[str]:
    number = "".join(_words(text))
    return {number, number.lstrip("0")} - {""}


@lru_cache(maxsize=4096)  # elements that a file can be full of; a film has some hundred
def _defined(tag: int) -> tuple[str, str]:
    """The VR and the keyword of an element in the dictionary of the standard; "" where unknown."""
    from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag

    return dictionary_VR(tag) if dictionary_has_tag(tag) else "", keyword_for_tag(tag)


def _values(dataset: Dataset, tag: int, vr: str) -> tuple[str, list[object]]:
    """The VR and the values of an element, decoded as far as possible if its VR is wrong.

    vr: that of the dictionary. Raises what pydicom raises on a damaged sequence.
    """
    is_sequence = "SQ" in (vr, dataset.get_item(tag).VR)
    with nullcontext() if is_sequence else suppress(Exception):
        element = dataset[tag]
        vr = vr or element.VR
        if not isinstance(element.value, bytes):
            several = element.VM > 1 or element.VR == "SQ"
            return vr, list(element.value) if several else [element.value]
    if vr not in ("PN", "LO", "SH", "DA"):  # those of identifiers
        return vr, []
    with suppress(Exception):  # an unknown VR, or text in another character set
        value = dataset.get_item(tag).value
        texts = {value.decode(encoding, "ignore") for encoding in ("latin-1", "utf-8")}
        return vr, [part for text in texts for part in text.split("\\")]
    return vr, []


def _names(person: str) -> Iterator[str]:
    """The words of a person name (PS3.5 6.2.1), and its first two joined in both orders.

    >>> sorted(_names("Li^Bo=李^博"))
    ['bo', 'boli', 'li', 'libo', '博李', '李博']
    >>> "muller" in _names("Müller"), "mueller" in _names("Müller")
    (True, True)
    """
    for spelled in {
        person.casefold(),
        unicodedata.normalize("NFC", person).casefold().translate(_PAIRS),
    }:
        for group in spelled.split("="):
            words = _words(group)
            yield from (word for word in words if len(word) > 1)
            if len(words) > 1:
                yield from (words[0] + words[1], words[1] + words[0])


def _orders(date: str) -> Iterator[str]:
    """
    >>> "20071969" in _orders("19690720"), "2071969" in _orders("19690720")
    (True, True)
    """
    if len(date) != 8 or not date.isdecimal():
        return
    year, month, day = date[:4], date[4:6], date[6:]
    for m, d in ((month, day), (month.lstrip("0"), day.lstrip("0"))):
        yield from {year + m + d, d + m + year, m + d + year}
    yield from {year[2:] + month + day, day + month + year[2:], month + day + year[2:]}
