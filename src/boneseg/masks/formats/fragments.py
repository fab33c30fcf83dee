"""Fragments: one CSV for all films, a row for each connected piece of bone, the largest first.

    film, piece               the piece is counted from 1; a film without bone has no row
    x, y                      centroid of the piece, px from the corner of the film
    area_px, area_mm2
    length_px, length_mm      along the main axis: the first principal axis of its pixels
    width_px, width_mm        across it
    angle_degrees             of the main axis to the vertical of the film, clockwise, -90 to 90
    spacing                   kind of the mm, see `radiograph.SpacingKind`; they are left empty
                              where it is unknown or a placeholder

Lengths are measured from edge to edge of the outermost pixels. Where pixels are not square, the
axis in mm is computed in mm, not in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from boneseg.masks.formats.pieces import pieces
from boneseg.masks.formats.tables import SIZE, Row, read_rows, size_cells, write_rows
from boneseg.masks.segmentation import Segmentation

COLUMNS = (
    *("film", "piece", "x", "y", "area_px", "area_mm2"),
    *(*SIZE, "angle_degrees", "spacing"),
)


def entry(segmentation: Segmentation) -> list[Row]:
    """The rows of one film."""
    film, rows = segmentation.film, []
    found = sorted(pieces(segmentation.mask), key=len, reverse=True)
    for number, points in enumerate(found, start=1):
        y, x = points.mean(axis=0) + 0.5
        place = [segmentation.title, number, round(float(x), 1), round(float(y), 1)]
        area = [len(points), film.area_mm2(len(points))]
        rows.append([*place, *area, *size_cells(points, film.spacing_mm), film.spacing_kind])
    return rows


def write_document(path: Path, entries: Sequence[list[Row]]) -> None:
    """Write all rows. Raises OutputError."""
    write_rows(path, COLUMNS, entries)


def read_document(path: Path) -> dict[str, list[Row]]:
    """The rows of each film of a document, by title. Raises ValueError."""
    return read_rows(path, COLUMNS)
