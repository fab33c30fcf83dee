"""Facts about a film, in the cache and on the page."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import pytest

from boneseg.server.storage.results import StoredFacts
from tests.support.verdicts import REVIEW

FACTS = {
    "height": 60,
    "width": 80,
    "spacing_mm": None,
    "spacing_kind": "unknown",
    "threshold": 0.5,
    "area_px": 12,
    "area_mm2": None,
    **asdict(REVIEW),
    "dicom": True,
    "tags": {"view": "AP"},
    "seconds": 0.1,
    "model": "ab",
    "stamp": "1-2",
}


def test_facts_are_read_as_they_were_written(tmp_path: Path) -> None:
    for facts in (FACTS, FACTS | {"spacing_mm": (0.2, 0.1), "area_mm2": math.inf}):
        StoredFacts(**facts).write(tmp_path / "facts.json")
        assert StoredFacts.read(tmp_path / "facts.json") == StoredFacts(**facts)


def test_an_area_beyond_any_film_is_refused() -> None:
    for area in (-1, 10**400):
        with pytest.raises(ValueError, match="area_px"):
            StoredFacts(**FACTS | {"area_px": area})


def test_facts_give_their_verdict_back() -> None:
    assert StoredFacts(**FACTS).judgement() == REVIEW


# Those of an earlier version have no verdict: the film is segmented again.
@pytest.mark.parametrize("missing", ["height", "stamp", "model", "verdict"])
def test_facts_without_a_field_are_refused(tmp_path: Path, missing: str) -> None:
    with pytest.raises(ValueError):
        StoredFacts(**{name: value for name, value in FACTS.items() if name != missing})
