"""Read the tables of a dataset: groups.csv (name, patient) and parts.csv (name, body part)."""

from __future__ import annotations

import csv
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from boneseg._util.files import read_bytes
from boneseg._util.text import as_compared, counted, listed
from boneseg.errors import DatasetError
from boneseg.masks.filenames import stem_of
from boneseg.radiograph.calibration import rows_without_film

_HEADER = frozenset(("name", "names", "file", "filename", "film", "image", "case", "id", "stem"))


@dataclass(frozen=True)
class Tables:
    """Patient and body part by film name, where listed, and remarks on tables.

    remarks: on rows without a film, also of calibration.csv, and on values that differ in case.
    gaps: on films that parts.csv omits. faults: why training cannot rely on a table. One line each.
    """

    groups: dict[str, str]
    parts: dict[str, str]
    remarks: tuple[str, ...]
    gaps: tuple[str, ...]
    faults: tuple[str, ...]


def read_tables(
    root: Path, films: Sequence[Path], paired: Iterable[Path], *, hides_names: bool = False
) -> Tables:
    """Read groups.csv and parts.csv of a dataset folder; both are optional.

    hides_names: as in `without_film`.

    A table that cannot be read, or lists a film twice with different values, is a fault, and so is
    a groups.csv that omits a film with a mask: films of one patient could then be on both sides of
    a split.
    """
    names = [stem_of(film) for film in paired]
    groups = _read(root / "groups.csv", films, names)
    parts = _read(root / "parts.csv", films, names)
    unknown = {root / "groups.csv": groups.unknown, root / "parts.csv": parts.unknown}
    unknown |= {table: tuple(rows) for table, rows in rows_without_film(films).items()}
    return Tables(
        groups.values,
        parts.values,
        (
            *(
                without_film(table, rows, hides_names=hides_names)
                for table, rows in unknown.items()
                if rows
            ),
            *_in_two_cases(root / "groups.csv", groups.values.values(), hides_names=hides_names),
            *_in_two_cases(root / "parts.csv", parts.values.values()),
        ),
        parts.omitted,
        (*groups.faults, *groups.omitted, *parts.faults),
    )


@dataclass(frozen=True)
class _Table:
    """The second column by film name, names without a film, and lines on what is wrong.

    omitted: films with a mask, but without a row. faults: rows that cannot be used.
    """

    values: dict[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    omitted: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


def _read(path: Path, films: Sequence[Path], paired: Sequence[str]) -> _Table:
    if not path.is_file():
        return _Table()
    try:
        rows = _rows(path)
    except DatasetError as error:
        return _Table(faults=(str(error),))
    return _matched(path, rows, films, paired)


def _matched(
    path: Path, rows: Sequence[Sequence[str]], films: Sequence[Path], paired: Sequence[str]
) -> _Table:
    """Match the first column with films."""
    names = {
        as_compared(key): stem_of(film) for film in films for key in (film.name, stem_of(film))
    }
    values: dict[str, str] = {}
    unknown, bare, faults = [], [], []
    unlisted = dict.fromkeys(paired)
    for number, row in enumerate(rows):
        key = as_compared(PurePosixPath(row[0].replace("\\", "/")).name)
        name = names.get(key) or names.get(stem_of(Path(key)))
        unlisted.pop(name or "", None)
        if len(row) < 2 or not row[1]:
            bare.append(repr(row[0][:40]))
        elif name is None:
            unknown += [row[0]] if number > 0 or key not in _HEADER else []
        elif values.setdefault(name, value := _value(row[1])) != value:
            faults.append(f"{path}: lists {row[0]} twice, as {values[name]} and {value}")
    if bare:
        faults.insert(0, f"{path}: has no value for {listed(bare)}; two columns are needed")
    omitted = f"{path}: omits {listed(list(unlisted))}; add a row for each film"
    return _Table(
        values,
        unknown=tuple(unknown),
        omitted=(omitted,) if unlisted else (),
        faults=tuple(faults),
    )


def _value(cell: str) -> str:
    """A value of the second column, in NFC: a patient would be two if spelled in two forms."""
    return unicodedata.normalize("NFC", cell).strip()


def _in_two_cases(table: Path, values: Iterable[str], *, hides_names: bool = False) -> list[str]:
    """A remark on each value that is also written in another case: it may be one patient.

    hides_names: the values may identify patients.
    """
    spellings: dict[str, set[str]] = defaultdict(set)
    for value in values:
        spellings[as_compared(value)].add(value)
    return [
        f"{table}: has {counted(len(alike), 'value') if hides_names else listed(sorted(alike))}, "
        "equal but for capital letters, which count as different; spell them alike if they mean "
        "the same"
        for alike in spellings.values()
        if len(alike) > 1
    ]


def without_film(table: Path, names: Sequence[str], *, hides_names: bool = False) -> str:
    """The remark on rows of a table that match no film.

    hides_names: names of films identify patients, and so those in the table may do.
    """
    if hides_names:
        return f"{table.name}: lists {counted(len(names), 'name')} without a film"
    return f"{table}: lists {listed(names)}, without a film of that name"


def _rows(path: Path) -> list[list[str]]:
    try:
        lines = read_bytes(path).decode("utf-8-sig").splitlines()
        separator = next((mark for mark in ",;\t" if lines and mark in lines[0]), ",")
        rows = csv.reader(lines, delimiter=separator)
        stripped = ([cell.strip() for cell in row] for row in rows)
        return [row for row in stripped if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        raise DatasetError(f"{path}: cannot be read{reason}; save it as CSV in UTF-8") from None
