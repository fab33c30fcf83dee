"""What the model found on a film, as stored in the cache and sent to the page."""

from __future__ import annotations

from dataclasses import fields
from typing import Literal, Self

from pydantic import ConfigDict, Field

from boneseg._util.documents import Document
from boneseg.masks.verdict import Grade, Verdict

FILM, PROBABILITY, SUGGESTION = "film.u16.gz", "probability.u8.gz", "suggestion.bits.gz"
THUMBNAIL, FACTS = "thumbnail.png", "facts.json"
MOST_PX = 2**40  # more than any film has

Author = Literal["model", "both", "person"]  # of a mask; both: a corrected suggestion


class Facts(Document):
    """The results for a segmented film. Measurements overflow where a film's spacing is absurd."""

    model_config = ConfigDict(allow_inf_nan=True)

    height: int
    width: int
    spacing_mm: tuple[float, float] | None
    spacing_kind: str
    threshold: float  # the model's
    area_px: int = Field(ge=0, le=MOST_PX)  # of the suggested mask
    area_mm2: float | None
    aspect: float = 1.0  # height of a pixel by its width
    part: str  # body part, or "not a radiograph"
    part_confidence: float  # the probability of it
    projection: str | None  # frontal, lateral or oblique
    projection_confidence: float | None  # the probability of it
    verdict: Grade
    reason: str  # of the verdict; empty where it is good
    trust: float  # the balanced score that the mask is expected to have
    dicom: bool  # whether the film's file is DICOM
    tags: dict[str, str]  # of its header: see `radiograph.description`
    seconds: float  # in the engine
    model: str  # the bundle's digest

    def calibrated(self, mm: float | None) -> Self:
        """With the user's width of a pixel, where there is one, instead of the film's own."""
        if mm is None:
            return self
        rows, columns = mm * self.aspect, mm
        area = round(self.area_px * rows * columns, 2)
        return self.model_copy(
            update={"spacing_mm": (rows, columns), "spacing_kind": "user", "area_mm2": area}
        )

    def judgement(self) -> Verdict:
        """The verdict on the suggested mask, for the writers of masks."""
        return Verdict(**{field.name: getattr(self, field.name) for field in fields(Verdict)})


class StoredFacts(Facts):
    """Facts in the cache.

    stamp: of the film's file that they are valid for. answers: the revisions of all masks that
    models have suggested for the film, so that one that is only accepted is known as theirs.
    """

    stamp: str
    answers: tuple[str, ...] = ()
