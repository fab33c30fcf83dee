"""Read the tables of a dataset: groups.csv (name, patient) and parts.csv (name, body part)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from boneseg._util.files import read_bytes
from boneseg._util.text import listed
from boneseg.dataset.pairing import as_compared
from boneseg.errors import DatasetError
from boneseg.masks.filenames import stem_of

_HEADER = frozenset(("name", "names", "file", "filename", "film", "image", "case", "id", "stem"))


@dataclass(frozen=True)
class Tables:
    """Patient and body part by film name, where listed, and remarks on the two tables."""

    groups: dict[str, str]
    parts: dict[str, str]
    remarks: tuple[str, ...]


def read_tables(root: Path, films: Sequence[Path], paired: Iterable[Path]) -> Tables:
    """Read groups.csv and parts.csv of a dataset folder; both are optional.

    Raises DatasetError for a table that cannot be read or lists a film twice with different values,
    and if groups.csv omits a film with a mask: films of one patient could then be on both sides of
    a split.
    """
    names = [stem_of(film) for film in paired]
    groups, remarks, omitted = _read(root / "groups.csv", films, names)
    if omitted:
        raise DatasetError(*omitted)
    parts, more, omitted = _read(root / "parts.csv", films, names)
    return Tables(groups, parts, (*remarks, *more, *omitted))


def _read(
    path: Path, films: Sequence[Path], paired: Sequence[str]
) -> tuple[dict[str, str], list[str], list[str]]:
    """The second column by film name, remarks on rows without a film, and on films without one."""
    if not path.is_file():
        return {}, [], []
    values, unknown = _values(path, films)
    unlisted = [name for name in paired if name not in values]
    remarks = [f"{path}: lists {listed(unknown)}, without a film of that name"] if unknown else []
    omitted = [f"{path}: omits {listed(unlisted)}; add a row for each film"] if unlisted else []
    return values, remarks, omitted


def _values(path: Path, films: Sequence[Path]) -> tuple[dict[str, str], list[str]]:
    """The second column by film name, which is the first column, and unknown names there."""
    names = {
        as_compared(key): stem_of(film) for film in films for key in (film.name, stem_of(film))
    }
    values: dict[str, str] = {}
    unknown = []
    for number, row in enumerate(_rows(path)):
        key = as_compared(PurePosixPath(row[0].replace("\\", "/")).name)
        name = names.get(key) or names.get(stem_of(Path(key)))
        if len(row) < 2 or not row[1]:
            raise DatasetError(f"{path}: has no value for {row[0][:40]!r}; two columns are needed")
        if name is None:
            unknown += [row[0]] if number > 0 or key not in _HEADER else []
        elif values.setdefault(name, row[1]) != row[1]:
            raise DatasetError(f"{path}: lists {row[0]} twice, as {values[name]} and {row[1]}")
    return values, unknown


def _rows(path: Path) -> list[list[str]]:
    try:
        lines = read_bytes(path).decode("utf-8-sig").splitlines()
        separator = next((mark for mark in ",;\t" if lines and mark in lines[0]), ",")
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    except (OSError, UnicodeDecodeError, csv.Error):
        raise DatasetError(f"{path}: cannot be read; save it as CSV in UTF-8") from None
    return [row for row in rows if any(row)]
