"""Only masks that a person drew or corrected say which model is better."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from boneseg.dataset.case import Case
from boneseg.dataset.load import Film
from boneseg.radiograph.film import Radiograph
from boneseg.server.retraining.comparison import (
    FEWEST,
    p_value,
    score,
    scoring_films,
    why_no_figure,
)
from boneseg.server.retraining.records import Score

SIDE = 40


@dataclass(frozen=True)
class Whole:
    """A model that calls the first `rows` rows bone."""

    rows: int

    def segment(self, film: Radiograph) -> np.ndarray:
        return np.arange(SIDE)[:, None].repeat(SIDE, 1) < self.rows


def films_of(*rows: int) -> list[Film]:
    """Films whose drawn mask has these numbers of rows."""
    found = []
    for number, count in enumerate(rows):
        path, pixels = Path(f"{number}.png"), np.zeros((SIDE, SIDE), np.float32)
        radiograph = Radiograph(pixels, None, "unknown", path)
        mask = Whole(count).segment(radiograph)
        found.append(Film(Case(str(number), path, path), radiograph, mask))
    return found


def test_the_models_own_answers_never_score() -> None:
    films = films_of(20, 20, 10, 11, 12, 13, 14, 15)
    drawn = [film.case.name for film in films[1:]]  # the first was accepted as it was suggested
    scoring, today = scoring_films(films, drawn, Whole(20))
    assert [film.case.name for film in scoring] == ["2", "3", "4", "5", "6", "7"]
    assert today is not None and today.cases.keys() == {"2", "3", "4", "5", "6", "7"}
    assert today.dice == pytest.approx(np.mean(list(today.cases.values())), abs=1e-4)


@pytest.mark.parametrize("drawn", [0, FEWEST - 1])
def test_too_few_films_give_no_figure(drawn: int) -> None:
    films = films_of(*[10] * 8)
    scoring, today = scoring_films(films, [film.case.name for film in films[:drawn]], Whole(20))
    assert today is None and len(scoring) == drawn
    why = why_no_figure(len(films), len(scoring))
    assert f"{drawn} film" in why and f"at least {FEWEST}" in why and "the model's own" in why


def test_a_model_better_on_each_of_six_films_is_shown_to_be_better() -> None:
    films = films_of(10, 11, 12, 13, 14, 15)
    before, after = score(Whole(20), films), score(Whole(13), films)
    assert after.dice > before.dice and p_value(before, after, films) == 2 / 2**6
    assert p_value(after, Score(before.dice, before.cases), films) == 2 / 2**6  # two-sided
