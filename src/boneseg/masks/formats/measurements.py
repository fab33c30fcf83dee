"""Measurements: one CSV for all films, a row for each film.

    film
    area_px, area_mm2         of all bone
    bone_share                the share of the film's pixels that are bone, in [0, 1]
    fragments                 the number of connected pieces of bone: see `fragments.py`
    length_px, length_mm      of all bone along its main axis: the first principal axis of pixels
    width_px, width_mm        across it
    angle_degrees             of the main axis to the vertical of the film, clockwise, -90 to 90
    spacing                   kind of the mm, see `radiograph.SpacingKind`; they are left empty
                              where it is unknown or a placeholder
    part, projection          see `masks.verdict.Verdict`; these and the next columns are empty
    verdict, reason, trust    where no model has found the mask

Lengths are measured from edge to edge of the outermost pixels. Where pixels are not square, the
axis in mm is computed in mm, not in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from boneseg.masks.formats.pieces import pieces
from boneseg.masks.formats.tables import (
    SIZE,
    VERDICT,
    Row,
    read_rows,
    size_cells,
    verdict_cells,
    write_rows,
)
from boneseg.masks.segmentation import Segmentation

COLUMNS = (
    *("film", "area_px", "area_mm2", "bone_share", "fragments"),
    *(*SIZE, "angle_degrees", "spacing"),
    *VERDICT,
)


def entry(segmentation: Segmentation) -> list[Row]:
    """The row of one film."""
    film, mask = segmentation.film, segmentation.mask
    found = list(pieces(mask))
    area = sum(map(len, found))
    size = size_cells(np.concatenate(found), film.spacing_mm) if found else [None] * 5
    share = round(area / mask.size, 6)
    row = [segmentation.title, area, film.area_mm2(area), share, len(found)]
    return [[*row, *size, film.spacing_kind, *verdict_cells(segmentation.verdict)]]


def write_document(path: Path, entries: Sequence[list[Row]]) -> None:
    """Write all rows. Raises OutputError."""
    write_rows(path, COLUMNS, entries)


def read_document(path: Path) -> dict[str, list[Row]]:
    """The row of each film of a document, by title. Raises ValueError."""
    return read_rows(path, COLUMNS)
