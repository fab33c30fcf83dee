"""Reach the verdict on a mask from the evidence.

    found = answered(seen, every=True)
    judge(found, every=True, likeness=0.99, inverted=lambda: 0.2)
                                         # Verdict('review', trust=0.81, part='chest', ...)

`trust` is the balanced score that the mask is expected to have. The verdict depends on it alone,
except that an image that does not look like a radiograph is unsuitable: see
docs/explanation/verdict.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from boneseg.inference.plausibility import LEAST
from boneseg.inference.verdict.evidence import Evidence
from boneseg.inference.verdict.network import (
    PARTS,
    PROJECTIONS,
    QUALITIES,
    Answer,
    verdict_network,
)
from boneseg.masks.verdict import NO_RADIOGRAPH, Grade, Verdict
from boneseg.preprocessing import Floats

# What often goes wrong with the bundled model: docs/explanation/bundled-model.md.
_OFTEN = {
    "chest": "ribs over heart and liver are often wrong",
    "trunk": "ribs over heart and liver, and bowel, are often wrong",
    "lumbar spine": "bowel and flesh beside the spine are often taken for bone",
    "skull": "the face and the soft tissue in front of it are often wrong",
    "neck": "jaw, throat and shoulders are often wrong",
    "pelvis": "bowel over the sacrum and the iliac wings is often taken for bone",
    "hip": "flesh of the thigh is often taken for bone",
    "shoulder": "ribs and the shoulder blade are often wrong",
    "whole body": "ribs and small bones are often wrong",
}
# By how much the network's score may be below that of certainty: it ranks real masks worse, but
# knows mistakes of which a model is sure.
MARGIN = 0.05
_ROWS, _COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")


def answered(seen: Evidence, *, every: bool) -> Answer:
    """What the network says of a film and its mask: the mean with that of their mirror image.

    every: whether the model should find every bone, as the bundled one; otherwise bones that are
    missing as a whole do not count.
    """
    mirrored = Evidence(seen.maps[:, :, ::-1], seen.facts)
    one, other = verdict_network().answers([seen, mirrored], every=every)
    half = np.float32(0.5)
    return Answer(
        half * (one.parts + other.parts),
        half * (one.projections + other.projections),
        half * (one.qualities + other.qualities),
        half * (one.errors + other.errors[:, :, ::-1]),
        one.expected,
    )


def judge(
    answer: Answer, *, every: bool, likeness: float, inverted: Callable[[], float]
) -> Verdict:
    """The verdict on a mask.

    every: whether the model should find every bone. likeness: of the film to a radiograph, in
    [0, 1]. inverted: that of the film with bright and dark exchanged, only asked for if need be.
    """
    trust = trust_of(answer, every=every)
    if likeness < LEAST:
        advice = "check the film"
        if inverted() >= LEAST:
            advice = "if bone is dark on it, it has to be inverted"
        reason = f"does not look like a radiograph (likeness {likeness:.2f} of 1); {advice}"
        return Verdict("unsuitable", reason, min(trust, likeness), NO_RADIOGRAPH, 1 - likeness)
    part = likely_part(answer)
    projection = PROJECTIONS[int(answer.projections.argmax())]
    review, unsuitable = verdict_network().thresholds
    grade: Grade = "unsuitable" if trust < unsuitable else "review" if trust < review else "good"
    return Verdict(
        grade,
        "" if grade == "good" else _reason(answer, part, every=every),
        trust,
        part,
        likeness * float(answer.parts.max()),
        projection,
        float(answer.projections.max()),
    )


def trust_of(answer: Answer, *, every: bool) -> float:
    """The balanced score that a mask is expected to have.

    Of a model that should find every bone it is what its certainty tells, unless the network
    expects less by more than MARGIN. Of other models it is what the network predicts.
    """
    balanced = float(answer.qualities[QUALITIES.index("balanced")])
    return min(answer.expected, balanced + MARGIN) if every else balanced


def likely_part(answer: Answer) -> str:
    """The most probable body part."""
    return PARTS[int(answer.parts.argmax())]


def part_probabilities(answer: Answer, parts: Sequence[str]) -> Floats:
    """The probability of each of these body parts; 0 of one that is not in PARTS."""
    found = dict(zip(PARTS, answer.parts, strict=True))
    return np.array([found.get(part, 0.0) for part in parts], np.float32)


def _reason(answer: Answer, part: str, *, every: bool) -> str:
    """What is likely wrong, and where."""
    sensitivity = float(answer.qualities[QUALITIES.index("sensitivity")])
    precision = float(answer.qualities[QUALITIES.index("precision")])
    words = []
    if precision < 0.97 and 1 - precision > 0.4 * (1 - sensitivity):
        place = _place(answer.errors[0])
        words.append(f"about {1 - precision:.0%} of the mask is likely no bone, mostly {place}")
    if sensitivity < 0.97 and 1 - sensitivity > 0.4 * (1 - precision):
        place = _place(answer.errors[1])
        words.append(f"about {1 - sensitivity:.0%} of the bone is likely missing, mostly {place}")
    if every and part in _OFTEN:
        words.append(_OFTEN[part])
    return f"{part}: " + ("; ".join(words) or "the outline is likely inaccurate")


def _place(errors: Floats) -> str:
    """Where on the film most of some errors are, to a third of each side."""
    total = max(float(errors.sum()), 1e-6)
    row, column = (
        float((errors.sum(axis=1 - axis) * (np.arange(len(errors)) + 0.5)).sum()) / total
        for axis in (0, 1)
    )
    down, across = (_ROWS[_third(row, len(errors))], _COLUMNS[_third(column, len(errors))])
    if (down, across) == ("middle", "centre"):
        return "in the middle"
    if down == "middle":
        return f"on the {across}"
    return f"at the {down}" if across == "centre" else f"at the {down} {across}"


def _third(at: float, size: int) -> int:
    """The third of a side in which the centre of errors lies; the outer ones reach further in."""
    return 0 if at < 0.42 * size else 2 if at > 0.58 * size else 1
