"""What the model found on a film, as stored in the cache and sent to the page."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict

from boneseg._util.documents import Document

FILM, PROBABILITY, SUGGESTION = "film.u16.gz", "probability.u8.gz", "suggestion.bits.gz"
THUMBNAIL, FACTS = "thumbnail.png", "facts.json"

Author = Literal["model", "both", "person"]  # of a mask; both: a corrected suggestion


class Facts(Document):
    """The results for a segmented film. Measurements overflow where a film's spacing is absurd."""

    model_config = ConfigDict(allow_inf_nan=True)

    height: int
    width: int
    spacing_mm: tuple[float, float] | None
    spacing_kind: str
    threshold: float  # the model's
    area_px: int  # of the suggested mask
    area_mm2: float | None
    confidence: float  # mean over pixels of the probability of the predicted class
    trust: float | None  # agreement of the augmented predictions, in [0, 1]
    seconds: float  # in the engine
    model: str  # the bundle's digest


class StoredFacts(Facts):
    """Facts in the cache, with the `stamp` of the film's file that they are valid for."""

    stamp: str
