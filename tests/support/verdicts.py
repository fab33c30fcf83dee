"""Verdicts for tests that write or show them."""

from __future__ import annotations

from boneseg.masks.verdict import Verdict

GOOD = Verdict("good", "", 0.97, "knee", 0.98, "frontal", 0.95)
REVIEW = Verdict(
    "review",
    "chest: ribs over heart and liver are often wrong",
    0.81,
    "chest",
    0.9,
    "frontal",
    0.99,
)
NO_FILM = Verdict("unsuitable", "does not look like a radiograph", 0.02, "not a radiograph", 0.98)
