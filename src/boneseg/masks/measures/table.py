"""A table of measures, CSV: a row for each value.

film, measure             the film's name, and the measure's number on it, from 1
name                      as the user gave it
kind                      length, angle, cobb or alignment
value, number, unit       what the number is, and its unit: px, mm or deg
spacing                   kind of the mm, see `radiograph.SpacingKind`
points                    x y, px from the corner of the film, separated by semicolons
suggested                 yes where no person has moved the points that boneseg suggested
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from boneseg._util.files import write_table
from boneseg.masks.measures.geometry import Measure, values

COLUMNS = (
    *("film", "measure", "name", "kind", "value", "number", "unit", "spacing", "points"),
    "suggested",
)


@dataclass(frozen=True)
class MeasuredFilm:
    """The measures of a film, its spacing of (rows, columns) in mm or None, and the kind of it."""

    title: str
    measures: Sequence[Measure]
    spacing_mm: tuple[float, float] | None
    spacing_kind: str


def write_measures(path: Path, films: Iterable[MeasuredFilm]) -> None:
    """Write the measures of films. Raises OutputError."""
    write_table(path, COLUMNS, (row for film in films for row in _rows(film)))


def _rows(film: MeasuredFilm) -> Iterable[Sequence[object]]:
    for number, measure in enumerate(film.measures, start=1):
        points = "; ".join(f"{x:.2f} {y:.2f}" for x, y in measure.points)
        head = film.title, number, measure.name, measure.kind
        tail = film.spacing_kind, points, "yes" if measure.suggested else "no"
        for what, value in values(measure, film.spacing_mm).items():
            yield *head, what, round(value.number, 2), value.unit, *tail
