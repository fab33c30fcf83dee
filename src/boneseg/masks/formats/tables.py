"""Tables of all films, CSV, and what their columns have in common."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from boneseg._util.files import LARGEST_REPORT, plain_cell, read_bytes, write_table
from boneseg.masks.formats.pieces import Places, extent
from boneseg.masks.verdict import Verdict

Row = list[object]

SIZE = ("length_px", "length_mm", "width_px", "width_mm")
VERDICT = ("part", "projection", "verdict", "reason", "trust")


def write_rows(path: Path, columns: Sequence[str], entries: Sequence[list[Row]]) -> None:
    """Write the rows of all films. Raises OutputError."""
    write_table(path, columns, (row for rows in entries for row in rows))


def read_rows(path: Path, columns: Sequence[str]) -> dict[str, list[Row]]:
    """The rows of each film by title, the first column. Raises ValueError."""
    films: dict[str, list[Row]] = {}
    with io.StringIO(read_bytes(path, LARGEST_REPORT).decode("utf-8"), newline="") as file:
        rows = csv.reader(file)
        if tuple(next(rows, ())) != tuple(columns):
            raise ValueError("other columns")
        for row in rows:
            title, *cells = map(plain_cell, row)
            films.setdefault(title, []).append([title, *cells])
    return films


def verdict_cells(verdict: Verdict | None) -> Row:
    """The cells of `VERDICT`, empty where no model has found the mask."""
    if verdict is None:
        return [None] * len(VERDICT)
    facts = asdict(verdict.rounded())
    return [facts[name] for name in VERDICT]


def size_cells(points: Places, spacing: tuple[float, float] | None) -> Row:
    """The cells of `SIZE` and the angle of the main axis, for N x 2 pixels (row, column)."""
    pixels = extent(points)
    mm = extent(points, spacing) if spacing else None
    return [
        *(round(pixels.length, 1), round(mm.length, 2) if mm else None),
        *(round(pixels.width, 1), round(mm.width, 2) if mm else None),
        round((mm or pixels).degrees, 1) + 0.0,  # no -0.0 for a vertical piece
    ]
