"""A verdict on a mask, in words and in order."""

from __future__ import annotations

from dataclasses import replace

from boneseg.masks.verdict import GRADES
from tests.support.verdicts import GOOD, NO_FILM, REVIEW


def test_verdicts_are_ordered() -> None:
    reached = {
        least: [one.verdict for one in (GOOD, REVIEW, NO_FILM) if one.reaches(least)]
        for least in GRADES
    }
    assert reached == {
        "good": ["good"],
        "review": ["good", "review"],
        "unsuitable": ["good", "review", "unsuitable"],
    }


def test_a_verdict_is_a_line() -> None:
    assert (GOOD.view, str(GOOD)) == ("knee, frontal", "good (trust 0.97)")
    assert str(REVIEW).startswith("review (trust 0.81): chest: ribs")
    assert NO_FILM.view == "not a radiograph"


def test_it_is_written_with_four_decimals() -> None:
    long = replace(GOOD, trust=0.123456, part_confidence=1 / 3, projection_confidence=2 / 3)
    short = long.rounded()
    assert (short.trust, short.part_confidence) == (0.1235, 0.3333)
    assert short.projection_confidence == 0.6667
    assert NO_FILM.rounded() == NO_FILM
