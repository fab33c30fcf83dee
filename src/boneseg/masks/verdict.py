"""The verdict on a mask: what the film shows, how good the mask is likely to be, and why.

Masks are written with it; `inference/verdict/` reaches it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Grade = Literal["good", "review", "unsuitable"]
GRADES: tuple[Grade, ...] = ("good", "review", "unsuitable")  # the best first

NO_RADIOGRAPH = "not a radiograph"  # an answer instead of a body part


@dataclass(frozen=True)
class Verdict:
    """The verdict on a mask.

    verdict: good, review (look at it before use) or unsuitable (do not use it). reason: in words;
    empty where the verdict is good. trust: the balanced score that the mask is expected to
    have, in [0, 1]: (share of the bone found + share of what surrounds it left out) / 2, over what
    the film shows clearly. part: the body part, or NO_RADIOGRAPH. part_confidence:
    the probability of it. projection: frontal, lateral or oblique; None for NO_RADIOGRAPH.
    projection_confidence: the probability of it.
    """

    verdict: Grade
    reason: str
    trust: float
    part: str
    part_confidence: float
    projection: str | None = None
    projection_confidence: float | None = None

    def rounded(self) -> Verdict:
        """The verdict with four decimals, as it is written."""
        other = self.projection_confidence
        return replace(
            self,
            trust=round(self.trust, 4),
            part_confidence=round(self.part_confidence, 4),
            projection_confidence=None if other is None else round(other, 4),
        )

    def reaches(self, least: Grade) -> bool:
        """Whether the verdict is `least` or better."""
        return GRADES.index(self.verdict) <= GRADES.index(least)

    @property
    def view(self) -> str:
        """The part and its projection in words."""
        return f"{self.part}, {self.projection}" if self.projection else self.part

    def __str__(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        return f"{self.verdict} (trust {self.trust:.2f}){why}"
