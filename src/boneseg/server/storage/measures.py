"""The measures of films: DATA/.boneseg/measures/<film>.json."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from boneseg._util.documents import Document
from boneseg.masks.measures.geometry import Measure
from boneseg.server.storage.history import digest
from boneseg.server.storage.records import Record

MOST = 100  # measures of a film
NO_MEASURES = "none"  # the revision of a film without any


class DrawnMeasure(Document):
    """A measure as the page and its file hold it: see `masks.measures.geometry.Measure`."""

    kind: Literal["length", "angle", "cobb", "alignment"]
    points: list[tuple[float, float]] = Field(min_length=2, max_length=4)
    name: str = Field("", max_length=60)
    suggested: bool = False
    medial: Literal["left", "right"] | None = None

    @model_validator(mode="after")
    def _has_its_points(self) -> Self:
        self.measure()  # raises ValueError for a wrong number of points
        return self

    def measure(self) -> Measure:
        """The measure."""
        points = tuple((x, y) for x, y in self.points)
        return Measure(self.kind, points, self.name, self.suggested, self.medial)

    @classmethod
    def of(cls, measure: Measure) -> DrawnMeasure:
        return cls(
            kind=measure.kind,
            points=list(measure.points),
            name=measure.name,
            suggested=measure.suggested,
            medial=measure.medial,
        )


class FilmMeasures(Record):
    """The measures of one film, in the order in which they were drawn.

    shape: (height, width) of the film that they were drawn on, px; None where it is not known.
    """

    measures: list[DrawnMeasure] = Field(default_factory=list, max_length=MOST)
    shape: tuple[int, int] | None = None

    @property
    def revision(self) -> str:
        """What identifies these measures among those of the film."""
        if not self.measures:
            return NO_MEASURES
        return digest(json.dumps(self.model_dump()).encode())


@dataclass(frozen=True)
class MeasureFiles:
    """The measures of one data folder, by the film's id."""

    root: Path

    def of(self, film: str) -> list[Measure]:
        """The measures of a film. Raises ServerError for a damaged file."""
        return [one.measure() for one in self.record(film).measures]

    def record(self, film: str) -> FilmMeasures:
        """The measures of a film as its file holds them. Raises as `of` does."""
        return FilmMeasures.found(self._path(film)) or FilmMeasures()

    def write(
        self, film: str, measures: list[Measure], shape: tuple[int, int] | None = None
    ) -> FilmMeasures:
        """Replace the measures of a film. Raises OutputError."""
        record = FilmMeasures(measures=[DrawnMeasure.of(one) for one in measures], shape=shape)
        if measures:
            record.write(self._path(film))
        else:
            self.delete(film)
        return record

    def delete(self, film: str) -> None:
        """Delete a film's measures, if there are any."""
        with suppress(OSError):
            self._path(film).unlink()

    def films(self) -> list[str]:
        """The ids of the films that have measures."""
        return [path.stem for path in self.root.glob("[0-9a-f]*.json")]

    def _path(self, film: str) -> Path:
        return self.root / f"{film}.json"
