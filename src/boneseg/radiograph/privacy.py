"""Keep the identity of the patient out of file names, messages and outputs.

    public_path(Path("clinic/DOE_JOHN.dcm"))    # film-3f2a91b0c4de.dcm
    public_path(Path("clinic/knee.dcm"))        # clinic/knee.dcm

Nothing of a DICOM header is written to a mask, an overlay, a table or a message, so the name of a
file or folder is the one place that could identify a patient. Such a name is replaced by a hash of
the file's content (a hash of the name could be found by trying names); `sha256sum` finds the film
again. A name is compared with the header of the film itself: pictures without a header (PNG) keep
theirs.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boneseg.radiograph.read import is_dicom

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# Of PS3.15 Table E.1-1 what names a person, a stay or an examination, anywhere in the header; and
# every name of a person (VR PN).
_NUMBERS = frozenset(
    (
        *("PatientID", "OtherPatientIDs", "AccessionNumber", "MedicalRecordLocator"),
        *("PatientTelephoneNumbers", "PatientAddress", "AdmissionID"),
    )
)
_DATES = frozenset(("PatientBirthDate", "PatientBirthDateInAlternativeCalendar"))
_LONG = 3  # letters or digits: shorter ones count as a whole word alone, else every name has them
# Letters that Unicode does not take apart, and those that some write as two.
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe"})
_PAIRS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})


def public_path(path: Path, *, keep_names: bool = False) -> Path:
    """The name of a film in outputs and messages: its path, or a hash if that names the patient.

    Never raises: a file that cannot be read keeps its name.
    """
    return path if keep_names else _alias(path, str(path)) or path


def public_name(path: Path) -> str:
    """As `public_path`, of the name of the file alone."""
    alias = _alias(path, path.name)
    return alias.name if alias else path.name


def _alias(film: Path, text: str) -> Path | None:
    """What a film is called where a text would tell whose it is."""
    with suppress(OSError):
        if is_dicom(film) and gives_away(text, film):
            with film.open("rb") as file:
                return Path(f"film-{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}.dcm")
    return None


def gives_away(text: str, film: Path) -> bool:
    """Whether a text holds what the header of a DICOM film says of its patient.

    Upper and lower case, accents, and whatever stands between letters and digits, are no
    difference; a birth date is known in the orders of year, month and day that are in use.
    """
    words = _words(text)
    joined = "".join(words)
    return any(
        identifier in joined if _is_long(identifier) else identifier in words
        for identifier in _identifiers(film)
    )


def _is_long(identifier: str) -> bool:
    """Whether it says whose film it is within other letters: of ideographs, two do."""
    wide = sum(unicodedata.east_asian_width(letter) == "W" for letter in identifier)
    return len(identifier) + wide // 2 >= _LONG


def _words(text: str) -> list[str]:
    """
    >>> _words("Müller-Lüdenscheidt_0042b")
    ['muller', 'ludenscheidt', '0042', 'b']
    """
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return re.findall(r"[^\W\d_]+|\d+", bare.casefold().translate(_LETTERS))


def _identifiers(film: Path) -> Iterator[str]:
    from boneseg.radiograph.dicom.file import read_file
    from boneseg.radiograph.dicom.header import hush

    hush()
    with suppress(Exception):  # a header may be damaged anywhere
        yield from _told(read_file(film, pixels=False))


def _told(dataset: Dataset) -> Iterator[str]:
    """Identifiers as they would stand in a name: letters and digits, in small letters."""
    from pydicom.datadict import keyword_for_tag
    from pydicom.dataset import Dataset

    for tag in list(dataset.keys()):
        vr, values = _values(dataset, tag)
        keyword = keyword_for_tag(tag)
        for value in values:
            if isinstance(value, Dataset):  # an item of a sequence
                yield from _told(value)
            elif vr == "PN":
                yield from _names(str(value))
            elif keyword in _DATES:
                yield from _orders("".join(_words(str(value))))
            elif keyword in _NUMBERS:
                number = "".join(_words(str(value)))
                yield from {number, number.lstrip("0")} - {""}


def _values(dataset: Dataset, tag: int) -> tuple[str, list[Any]]:
    """The VR and the values of an element; what can be read of it where its VR is another."""
    from pydicom.datadict import dictionary_has_tag, dictionary_VR

    vr = dictionary_VR(tag) if dictionary_has_tag(tag) else ""
    with suppress(Exception):
        element = dataset[tag]
        vr = vr or element.VR
        if not isinstance(element.value, bytes):
            several = element.VM > 1 or element.VR == "SQ"
            return vr, list(element.value) if several else [element.value]
    if vr not in ("PN", "LO", "SH", "DA", "ST", "LT"):
        return vr, []
    with suppress(Exception):  # an unknown VR, or text in another character set
        value = dataset.get_item(tag).value
        texts = {value.decode(encoding, "ignore") for encoding in ("latin-1", "utf-8")}
        return vr, [part for text in texts for part in text.split("\\")]
    return vr, []


def _names(person: str) -> Iterator[str]:
    """The words of a name (PS3.5 6.2.1), and its first two together, in both orders.

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
