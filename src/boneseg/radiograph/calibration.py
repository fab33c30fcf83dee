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
import math
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from boneseg._util.files import HIDDEN, LAYOUTS, plain_cell, read_bytes, write_table
from boneseg.errors import RadiographError
from boneseg.radiograph.film import SPACINGS

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
        listed = _rows(table)
        for name in (film.name, film.stem):
            if (found := listed.get(_compared(name))) is not None:
                return found[1]
    return None


def set_calibration(film: Path, name: str, calibration: Calibration | None) -> None:
    """List a film under a name in the table beside it, or remove it.

    A table that lists the film is changed, otherwise the farther one, beside `images/`. Raises
    RadiographError for a table that cannot be used, and OutputError.
    """
    tables = list(_tables(film))
    names = {_compared(one) for one in (film.name, film.stem, name)}
    table = next((one for one in tables if names & _rows(one).keys()), tables[-1])
    rows = {key: row for key, row in _rows(table).items() if key not in names}
    if calibration is not None:
        rows[_compared(name)] = (name, calibration)
    elif not names & _rows(table).keys():
        return
    cells = ([shown, repr(one.mm), one.how] for shown, one in rows.values())
    write_table(table, COLUMNS, cells)


def believable(mm: float) -> bool:
    """Whether a pixel of a film can be that wide: within `SPACINGS`, and a number."""
    return math.isfinite(mm) and SPACINGS[0] <= mm <= SPACINGS[1]


def _tables(film: Path) -> Iterable[Path]:
    """Where a film's table may be, the nearest first."""
    yield film.parent / CALIBRATION
    if film.parent.name in {images for images, _ in LAYOUTS}:
        yield film.parent.parent / CALIBRATION
    elif film.parent.parent.name == HIDDEN:
        yield film.parent.parent.parent / CALIBRATION


Row = tuple[str, Calibration]  # the name as written


def _rows(table: Path) -> dict[str, Row]:
    try:
        status = table.stat()
    except OSError:
        return {}
    return _read(table, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=16)
def _read(table: Path, modified: int, size: int) -> dict[str, Row]:
    """The rows of a table by name; cached by the state of its file."""
    try:
        text = read_bytes(table).decode("utf-8-sig")
        lines = [
            [plain_cell(cell.strip()) for cell in row] for row in csv.reader(text.splitlines())
        ]
    except (OSError, UnicodeDecodeError, csv.Error):
        raise RadiographError(f"{CALIBRATION} cannot be read; save it as CSV in UTF-8") from None
    if not lines or tuple(lines[0][:2]) != COLUMNS[:2]:
        raise RadiographError(f"{CALIBRATION} does not begin with the columns {','.join(COLUMNS)}")
    rows: dict[str, Row] = {}
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
        if rows.setdefault(_compared(name), (name, Calibration(width, how)))[1].mm != width:
            raise RadiographError(f"{where}: lists a film again, with another width; keep one")
    return rows


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _compared(name: str) -> str:
    """A name as compared: case-folded, in Unicode NFC."""
    return unicodedata.normalize("NFC", name).casefold()
