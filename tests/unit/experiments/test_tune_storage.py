"""The trials of a search on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from boneseg.experiments.tune_storage import SearchPlan, open_study
from boneseg.recipes.recipe import Recipe
from boneseg.recipes.search_space import Choices, Range
from tests.support import ROOT


@pytest.mark.parametrize("name", ["a%20b", "{a}", "50% #2 ü"])
def test_a_search_is_kept_under_any_name(name: str, tmp_path: Path) -> None:
    out = tmp_path / name
    plan = SearchPlan(films={}, recipe=Recipe(), space={}, held_out=())
    for resume in (False, True):
        open_study(out, plan, resume)
    assert list(tmp_path.rglob("*.db")) == [out / "tune.db"]


def test_a_search_of_the_first_version_is_read() -> None:
    """The attributes of tune.db before they had a version."""
    old = json.loads((ROOT / "tests/support/old_forms/search.json").read_text())
    plan = SearchPlan.model_validate(old)
    assert plan.films == old["films"]
    assert list(plan.held_out) == old["groups.csv or parts.csv"]
    assert plan.recipe.network.width == 6
    assert plan.space["optimiser.learning_rate"] == Range(low=3e-4, high=1e-2, log=True)
    assert plan.space["network.width"] == Choices(choices=(12, 16, 24))
