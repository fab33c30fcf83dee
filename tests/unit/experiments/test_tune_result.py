"""The result of a search for a recipe."""

from __future__ import annotations

from dataclasses import replace

from boneseg.experiments.tune_result import TrialResult
from boneseg.recipes.recipe import Recipe
from tests.support.experiments import found


def test_a_verdict_says_when_too_few_films_were_held_out(base: Recipe) -> None:
    assert found(base, 5, 0.0625).verdict.startswith(
        "too few held-out films for a significance test: Dice"
    )
    assert found(base, 6, 0.03125).verdict.startswith("significantly better")
    assert found(base, 20, 0.0001).verdict.endswith("p < 0.001)")


def test_a_search_shows_its_trials_in_a_notebook(base: Recipe) -> None:
    trials = (TrialResult(1, {"network.width": 6}, 0.9, "complete"),)
    shown = replace(found(base, 20, 0.0001), trials=trials)
    assert repr(shown) == "Tuned(validation Dice 0.9000 from 0.8000, 1 trial)"
    page = shown._repr_html_()
    assert "<th>1</th><td>0.9000</td><td>network.width=6</td>" in page
    assert "significantly better" in page
    assert "p &lt; 0.001" in page
    assert shown.table().splitlines()[1] == "     1 0.9000  network.width=6"
