"""Whether a new model is better than today's, on the films held out.

    films, before = scoring_films(held_out, drawn, Engine(today))
    p = p_value(before, score(Engine(new), films), films)

A figure is only given for films whose masks say something about the models: those that a person
drew or corrected.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from boneseg._util.text import counted
from boneseg.dataset.load import Film
from boneseg.evaluation.evaluate import evaluate_predictions
from boneseg.evaluation.statistics import paired_p
from boneseg.radiograph.film import Radiograph
from boneseg.server.retraining.records import Score

FEWEST = 5  # films from which a figure is given
OWN = 0.999  # Dice from which a mask counts as the model's own answer, rounded differently


class Model(Protocol):
    """What an `Engine` is here."""

    def segment(self, film: Radiograph) -> NDArray[np.bool_]:
        """The mask of a film, bool, height x width."""


def score(model: Model, films: Sequence[Film]) -> Score:
    """The Dice of a model on films."""
    summary = evaluate_predictions(
        (film.case.name, model.segment(film.radiograph), film.mask, None) for film in films
    )
    cases = {case.name: round(case.scores.dice, 4) for case in summary.cases}
    return Score(round(summary.mean["dice"], 4), cases)


def scoring_films(
    held_out: Sequence[Film], drawn: Collection[str], today: Model
) -> tuple[list[Film], Score | None]:
    """The films that score, and today's model on them; None where there are too few.

    A mask that today's model reproduces is its own answer, however it came into the folder.
    """
    films = [film for film in held_out if film.case.name in drawn]
    if not films:
        return [], None
    cases = score(today, films).cases
    films = [film for film in films if cases[film.case.name] < OWN]
    if len(films) < FEWEST:
        return films, None
    kept = {film.case.name: cases[film.case.name] for film in films}
    return films, Score(round(sum(kept.values()) / len(kept), 4), kept)


def why_no_figure(held_out: int, scoring: int) -> str:
    """Why the models are not compared, for the page."""
    untouched = held_out - scoring
    reason = f"No figure: {counted(scoring, 'film')} with a corrected or independently drawn mask"
    reason += f" held out, and at least {FEWEST} are needed."
    if untouched:
        are = "is" if untouched == 1 else "are"
        reason += f" {counted(untouched, 'further mask')} held out {are} the model's own."
    return reason + " Correct more films, or add films with masks drawn by hand."


def p_value(before: Score, after: Score, films: Sequence[Film]) -> float:
    """The two-sided p-value of the difference between two models on the same films."""
    names = [film.case.name for film in films]
    ours, theirs = ([score.cases[name] for name in names] for score in (after, before))
    return paired_p(ours, theirs, groups=[film.case.group for film in films])
