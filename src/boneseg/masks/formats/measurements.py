"""Measurements: one CSV for all films, a row for each connected piece of bone, the largest first.

    film, piece               the piece is counted from 1; 0 for a film without any bone
    x, y                      centroid of the piece, px from the corner of the film
    area_px, area_mm2
    length_px, length_mm      along the main axis: the first principal axis of its pixels
    width_px, width_mm        across it
    angle_degrees             of the main axis to the vertical of the film, clockwise, -90 to 90
    spacing                   kind of the mm: calibrated, detector, uncalibrated or unknown, see
                              `radiograph.SpacingKind`; mm are left empty where it is unknown
    part, projection          of the film, see `masks.verdict.Verdict`; these and the next columns
    verdict, reason, trust    are the same for all pieces of a film, and empty where no model has
                              found the mask

Lengths are measured from edge to edge of the outermost pixels. Where pixels are not square, the
axis in mm is computed in mm, not in pixels.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from boneseg._util.files import plain_cell, read_bytes, write_table
from boneseg.masks.formats.pieces import Places, pieces
from boneseg.masks.segmentation import Segmentation
from boneseg.masks.verdict import Verdict

_PIECES = (
    *("film", "piece", "x", "y", "area_px", "area_mm2", "length_px", "length_mm"),
    *("width_px", "width_mm", "angle_degrees", "spacing"),
)
_VERDICT = ("part", "projection", "verdict", "reason", "trust")
COLUMNS = (*_PIECES, *_VERDICT)


@dataclass(frozen=True)
class Extent:
    """The size of a piece along and across its main axis, in the unit of the spacing; its angle."""

    length: float
    width: float
    degrees: float


Row = list[object]


def entry(segmentation: Segmentation) -> list[Row]:
    """The rows of one film."""
    name, film = segmentation.title, segmentation.film
    found = sorted(pieces(segmentation.mask), key=len, reverse=True)
    of_film = [film.spacing_kind, *_verdict(segmentation.verdict)]
    if not found:
        area = 0.0 if film.spacing_mm else None
        return [[name, 0, None, None, 0, area, *[None] * 5, *of_film]]
    return [
        [name, place, *_measured(points, film.spacing_mm), *of_film]
        for place, points in enumerate(found, start=1)
    ]


def _verdict(verdict: Verdict | None) -> Row:
    if verdict is None:
        return [None] * len(_VERDICT)
    facts = asdict(verdict.rounded())
    return [facts[name] for name in _VERDICT]


def write_document(path: Path, entries: Sequence[list[Row]]) -> None:
    """Write all rows. Raises OutputError."""
    write_table(path, COLUMNS, (row for rows in entries for row in rows))


def read_document(path: Path) -> dict[str, list[Row]]:
    """The rows of each film of a document, by title. Raises ValueError."""
    films: dict[str, list[Row]] = {}
    with io.StringIO(read_bytes(path).decode("utf-8"), newline="") as file:
        rows = csv.reader(file)
        columns = tuple(next(rows, ()))
        if columns not in (COLUMNS, _PIECES):  # the latter without verdicts, of an older version
            raise ValueError("other columns")
        for row in rows:
            title, *cells = map(plain_cell, row)
            cells += [""] * (len(COLUMNS) - len(columns))
            films.setdefault(title, []).append([title, *cells])
    return films


def extent(points: Places, spacing: tuple[float, float] = (1.0, 1.0)) -> Extent:
    """The extent of pixels (N x 2: row, column) of the given size (of a row, of a column).

    The projection of a pixel on a direction (a, b) is |a| + |b| of its sides wide.
    """
    sides = np.array(spacing)
    scaled = points * sides
    centred = scaled - scaled.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    main, across = axes[:, 1], axes[:, 0]
    spans = [np.ptp(centred @ axis) + np.abs(axis) @ sides for axis in (main, across)]
    down, right = main if main[0] >= 0 else -main
    return Extent(float(spans[0]), float(spans[1]), float(np.degrees(np.arctan2(-right, down))))


def _measured(points: Places, spacing: tuple[float, float] | None) -> Row:
    y, x = points.mean(axis=0) + 0.5
    pixels = extent(points)
    mm = extent(points, spacing) if spacing else None
    area = round(len(points) * spacing[0] * spacing[1], 2) if spacing else None
    return [
        *(round(float(x), 1), round(float(y), 1), len(points), area),
        *(round(pixels.length, 1), round(mm.length, 2) if mm else None),
        *(round(pixels.width, 1), round(mm.width, 2) if mm else None),
        round((mm or pixels).degrees, 1) + 0.0,  # no -0.0 for a vertical piece
    ]
