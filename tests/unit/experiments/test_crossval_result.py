"""A fold and a cross-validation say what was scored, and on what."""

from __future__ import annotations

import csv
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


def test_its_tables_hold_the_figures_of_all_films(done: CrossValidation) -> None:
    with (done.out / "metrics.csv").open() as file:
        metrics = {row["metric"]: row for row in csv.DictReader(file)}
    assert float(metrics["iou"]["mean"]) == done.summary.mean["iou"]
    with (done.out / "cases.csv").open() as file:
        assert [row["name"] for row in csv.DictReader(file)] == sorted(done.films)
    assert f"{done.summary.std['hd95_px']:.2f}" in done.table().partition("HD95, px")[2]
