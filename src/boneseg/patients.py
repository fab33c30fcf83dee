"""Whose film it is stays out of what boneseg says and writes.

    public_path(Path("clinic/DOE_JOHN.dcm"))    # film-3f2a91b0c4de.dcm
    public_path(Path("clinic/knee.dcm"))        # clinic/knee.dcm

Nothing is ever taken over from a DICOM header into a mask, an overlay, a table or a message, so a
name of a file or folder is the one place where a patient could be told. Such a name is replaced by
a hash of the file's content: of the name it could be found by trying names. Whoever has the film
finds it again with `sha256sum`. A name is judged by the header of the film itself, and so pictures
without a header (PNG) keep theirs.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from boneseg.radiograph import is_dicom

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# Of PS3.15 Table E.1-1 what names a person, a stay or an examination, in groups 0008 and 0010; and
# every name of a person (VR PN) there.
_NUMBERS = frozenset(
    (
        *("PatientID", "OtherPatientIDs", "AccessionNumber", "MedicalRecordLocator"),
        *("PatientTelephoneNumbers", "PatientAddress"),
    )
)
_DATES = frozenset(("PatientBirthDate", "PatientBirthDateInAlternativeCalendar"))
_LONG = 3  # letters or digits: shorter ones count as a whole word alone, else every name has them


def public_path(path: Path, *, keep_names: bool = False) -> Path:
    """What a film is called in outputs and messages: its path, or a hash where that tells whose.

    Never raises: of a file that cannot be read nothing is known, and it keeps its name.
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
        identifier in joined if len(identifier) >= _LONG else identifier in words
        for identifier in _identifiers(film)
    )


def _words(text: str) -> list[str]:
    """
    >>> _words("Müller-Lüdenscheidt_0042b")
    ['muller', 'ludenscheidt', '0042', 'b']
    """
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return re.findall(r"[^\W\d_]+|\d+", bare.casefold())


def _identifiers(film: Path) -> Iterator[str]:
    from pydicom.filereader import read_partial

    from boneseg.dicom import hush

    hush()
    with suppress(Exception), film.open("rb") as file:  # a header may be damaged anywhere
        yield from _told(read_partial(file, lambda tag, vr, length: tag >= 0x00110000, force=True))


def _told(dataset: Dataset) -> Iterator[str]:
    """Identifiers as they would stand in a name: letters and digits, in small letters."""
    for tag in list(dataset.keys()):
        with suppress(Exception):  # a value that cannot be decoded
            element = dataset[tag]
            values = [element.value] if element.VM <= 1 else list(element.value)
            if element.VR == "SQ":
                for item in element.value:
                    yield from _told(item)
            elif element.VR == "PN":
                for value in values:
                    yield from (word for word in _words(str(value)) if len(word) > 1)
            elif element.keyword in _DATES:
                for value in values:
                    yield from _orders("".join(_words(str(value))))
            elif element.keyword in _NUMBERS:
                for value in values:
                    number = "".join(_words(str(value)))
                    yield from {number, number.lstrip("0")} - {""}


def _orders(date: str) -> Iterator[str]:
    """
    >>> sorted(_orders("19690720"))
    ['07201969', '19690720', '20071969']
    """
    year, month, day = date[:4], date[4:6], date[6:8]
    if len(date) == 8:
        yield from (year + month + day, day + month + year, month + day + year)
