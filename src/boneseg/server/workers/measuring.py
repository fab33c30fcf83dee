"""The tasks of measures: suggest alignments, export tables and DICOM structured reports."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boneseg.inference.engine import Engine
from boneseg.masks.measures.alignment import medial_side, suggested_by_names
from boneseg.masks.measures.geometry import Measure, Point, Side
from boneseg.masks.measures.table import MeasuredFilm, write_measures
from boneseg.radiograph.calibration import calibration_of
from boneseg.radiograph.description import stated_medial_side
from boneseg.radiograph.privacy import public_name
from boneseg.radiograph.read import read_radiograph
from boneseg.server.workers.tasks import Task, drawn_mask


@dataclass(frozen=True)
class SuggestAlignment(Task[list[Measure]]):
    """The alignment of each whole leg in a mask of `shape` (height, width).

    mask: its file, or gzipped bits. The fibula that the model names is left out of it.
    """

    mask: Path | bytes
    shape: tuple[int, int]

    def run(self, engine: Engine) -> list[Measure]:
        mask = drawn_mask(self.mask, self.shape, self.name)
        legs = suggested_by_names(mask, lambda: self._bones(engine))
        return [
            Measure("alignment", points, suggested=True, medial=_side(mask, self.path, *points[:2]))
            for points in legs
        ]

    def _bones(self, engine: Engine) -> Mapping[str, NDArray[np.bool_]]:
        if engine.bundle.card.bones is None:
            return {}
        return engine.find(read_radiograph(self.path)).bones


@dataclass(frozen=True)
class FindMedialSide(Task[Side | None]):
    """The side of a film that is medial for the leg with this hip and knee; None if not known.

    mask: as in `SuggestAlignment`.
    """

    mask: Path | bytes
    shape: tuple[int, int]
    hip: Point
    knee: Point

    def run(self, engine: Engine) -> Side | None:
        mask = drawn_mask(self.mask, self.shape, self.name)
        return _side(mask, self.path, self.hip, self.knee)


def _side(mask: NDArray[np.bool_], film: Path, hip: Point, knee: Point) -> Side | None:
    """The medial side by the mask; where it shows no femur, the film's header may say it."""
    return medial_side(mask, hip, knee) or stated_medial_side(film)


@dataclass(frozen=True)
class ReportMeasures(Task[tuple[str, bytes]]):
    """The public name of a film, and its measures as a DICOM structured report."""

    measures: tuple[Measure, ...]

    def run(self, engine: Engine) -> tuple[str, bytes]:
        from boneseg.masks.formats.dicom_seg.source import read_source
        from boneseg.masks.measures.dicom_sr import dicom_sr  # slow to import

        name = Path(public_name(self.path))
        source = read_source(self.path, name)
        film, calibration = read_radiograph(self.path, keep_names=True), calibration_of(self.path)
        how = calibration.how if calibration else ""
        encoded = io.BytesIO()
        report = dicom_sr(source, film, self.measures, name, how)
        report.save_as(encoded, enforce_file_format=True)
        return str(name), encoded.getvalue()


def encoded_table(films: Sequence[MeasuredFilm]) -> bytes:
    """The measures of films as CSV. Raises OutputError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "measures.csv"
        write_measures(path, films)
        return path.read_bytes()
