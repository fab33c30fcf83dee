"""A fold and a cross-validation say what was scored, and on what."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from boneseg.evaluation.scores import CaseScores, score
from boneseg.experiments.crossval_result import CrossValidation, Fold


def test_the_summary_of_a_fold_is_the_mean_of_its_films() -> None:
    full, half = np.ones((20, 20), bool), np.zeros((20, 20), bool)
    half[:10] = True
    cases = tuple(
        CaseScores(name, score(found, full, None)) for name, found in (("a", full), ("b", half))
    )
    fold = Fold(1, cases, (None, None), 0.5, 0, 1.0, 100)
    assert fold.summary.mean["dice"] == pytest.approx((1 + 2 / 3) / 2)


def test_it_is_shown_in_words_and_as_a_page(done: CrossValidation) -> None:
    dice = done.summary.mean["dice"]
    assert repr(done).startswith(f"CrossValidation(Dice {dice:.4f}, 3 folds")
    shown = done._repr_html_()
    assert "<svg" in shown and f"{dice:.4f}" in shown and "http" not in shown


def test_crossval_json_holds_its_figures(done: CrossValidation) -> None:
    document = json.loads(Path(done.out / "crossval.json").read_text())
    assert document["mean"]["dice"] == pytest.approx(done.summary.mean["dice"])
    assert [fold["films"] for fold in document["folds"]] == [len(f.cases) for f in done.folds]
    assert document["failed_folds"] == []
