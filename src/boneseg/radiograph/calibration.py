"""The user's calibration of films: a table `calibration.csv` in their folder.

    name,mm_per_pixel,how
    knee.png,0.143,steel ball of 25 mm

`read_radiograph` applies it, so every command and the light box use the same millimetres. The
table may also be in the folder above, beside `images/`; where both list a film, the nearer one is
used. A film in the light box's DATA/.boneseg/inbox has the table of DATA. The name is that of the
film's file, with or without its suffix.
"""

from __future__ import annotations

import csv
import io
import math
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from boneseg._util.files import HIDDEN, LAYOUTS, plain_cell, read_bytes, write_table
from boneseg.errors import RadiographError, UsageError
from boneseg.radiograph.film import SPACINGS
from boneseg.radiograph.sniff import SUFFIXES

CALIBRATION = "calibration.csv"
COLUMNS = ("name", "mm_per_pixel", "how")


@dataclass(frozen=True)
class Calibration:
    """The width of a film's pixel in mm, and how it was found, in the user's words."""

    mm: float
    how: str = ""


def calibration_of(film: Path) -> Calibration | None:
    """The calibration of a film in the tables beside it, None where they do not list it.

    Raises RadiographError, which does not name the film, for a table that cannot be used.
    """
    for table in _tables(film):
        _, listed = _rows(table)
        for name in _names(film):
            if (found := listed.get(_compared(name))) is not None:
                return found[1]
    return None


def _names(film: Path) -> tuple[str, ...]:
    """The names by which a table may list a film; a DICOM file named by its UID has one."""
    return (film.name, film.stem) if film.suffix.lower() in SUFFIXES else (film.name,)


def rows_without_film(films: Iterable[Path]) -> dict[Path, list[str]]:
    """The names in the tables of films that no file of their folders has, by table.

    A film of the folder that is not among `films` counts, too. A damaged table is left out: it is
    an error of each film.
    """
    found = {}
    for table in dict.fromkeys(table for film in films for table in _tables(film)):
        with suppress(RadiographError, OSError):
            if rows := _rows(table)[1]:
                known = _names_beside(table)
                found[table] = [row[0] for key, (row, _) in rows.items() if key not in known]
    return {table: names for table, names in found.items() if names}


def _names_beside(table: Path) -> set[str]:
    """The names, as compared, that a table may list."""
    root = table.parent
    places = [root, root / HIDDEN / "inbox", *(root / images for images, _ in LAYOUTS)]
    files = [file for place in places if place.is_dir() for file in place.iterdir()]
    return {_compared(name) for file in files for name in _names(file)}


def set_calibration(film: Path, name: str, calibration: Calibration | None) -> None:
    """List a film under a name in the table beside it, or remove it from every table.

    A table that lists the film is changed, otherwise the farther one, beside `images/`. Other films
    and columns stay. Raises RadiographError for a table that cannot be used, and OutputError.
    """
    tables = list(_tables(film))
    names = {_compared(one) for one in (*_names(film), name)}
    listing = [table for table in tables if names & _rows(table)[1].keys()]
    for table in listing if calibration is None else [*listing, tables[-1]][:1]:
        columns, rows = _rows(table)
        cells = [row for key, (row, _) in rows.items() if key not in names]
        if calibration is not None:
            cells.append((name, repr(calibration.mm), calibration.how))
        write_table(table, columns, cells)


def believable(mm: float) -> bool:
    """Whether a pixel of a film can be that wide: within `SPACINGS`, and a number."""
    return math.isfinite(mm) and SPACINGS[0] <= mm <= SPACINGS[1]


def check_width(mm: float, word: str = "spacing") -> None:
    """Raise UsageError for a width that is not `believable`; `word` is what gave it."""
    if not believable(mm):
        least, most = SPACINGS
        raise UsageError(f"{word} {mm:g}: give the width of a pixel, {least} to {most:g} mm")


def _tables(film: Path) -> Iterable[Path]:
    """Where a film's table may be, the nearest first."""
    yield film.parent / CALIBRATION
    if film.parent.name in {images for images, _ in LAYOUTS}:
        yield film.parent.parent / CALIBRATION
    elif film.parent.parent.name == HIDDEN:
        yield film.parent.parent.parent / CALIBRATION


Cells = tuple[str, ...]
Rows = dict[str, tuple[Cells, Calibration]]  # as written, by name


def _rows(table: Path) -> tuple[Cells, Rows]:
    """The columns and rows of a table; none where it does not exist."""
    try:
        status = table.stat()
    except OSError:
        return COLUMNS, {}
    return _read(table, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=16)
def _read(table: Path, modified: int, size: int) -> tuple[Cells, Rows]:
    """As `_rows`, cached by the state of its file."""
    try:
        text = read_bytes(table).decode("utf-8-sig")
        lines = [
            tuple(plain_cell(cell.strip()) for cell in row)
            for row in csv.reader(io.StringIO(text, newline=None))
        ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        raise RadiographError(
            f"{CALIBRATION} cannot be read{reason}; save it as CSV in UTF-8"
        ) from None
    if not lines or lines[0][:2] != COLUMNS[:2]:
        raise RadiographError(f"{CALIBRATION} does not begin with the columns {','.join(COLUMNS)}")
    rows: Rows = {}
    for number, row in enumerate(lines[1:], start=2):
        if not any(row):
            continue
        where = f"{CALIBRATION}, line {number}"
        name, mm, how = (*row, "", "")[:3]
        if not name or not believable(width := _number(mm)):
            raise RadiographError(
                f"{where}: {mm[:20]!r} is not the width of a pixel in mm, {SPACINGS[0]} to "
                f"{SPACINGS[1]:g}; correct it, or delete the line"
            )
        if rows.setdefault(_compared(name), (row, Calibration(width, how)))[1].mm != width:
            raise RadiographError(f"{where}: lists a film again, with another width; keep one")
    return lines[0] + COLUMNS[len(lines[0]) :], rows


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _compared(name: str) -> str:
    """A name as compared: case-folded, in Unicode NFC."""
    return unicodedata.normalize("NFC", name).casefold()
