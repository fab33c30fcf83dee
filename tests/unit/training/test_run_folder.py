"""A run is resumed only with the films and settings that it was started with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import Field

from boneseg._util.text import SHOWN
from boneseg.errors import TrainingError
from boneseg.recipes.builtin import load_recipe
from boneseg.recipes.recipe import Recipe, SettledRecipe
from boneseg.recipes.settings import RunSettings
from boneseg.training.run_folder import Plan, TrainingPlan, changed_settings, check_unchanged


def recipe(**run: object) -> SettledRecipe:
    return Recipe(run=RunSettings.model_validate(run)).settle([(64, 64)])


PLAN = TrainingPlan(
    films={"a": "1", "b": "2"},
    recipe=recipe(),
    init=None,
    validation=("b",),
    parts=("knee",),
)


def test_the_same_plan_is_accepted() -> None:
    check_unchanged(PLAN, TrainingPlan.model_validate(PLAN.model_dump()), Path("run"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"films": {"a": "1", "b": "3"}}, r"films have changed since \(b\); start a new run"),
        ({"films": {"a": "1"}, "validation": ()}, r"films have changed since \(b\)"),
        (
            {"recipe": recipe(epochs=7)},
            r"since \(run.epochs was 100, now 7\); use the earlier ones, or start",
        ),
        ({"init": "f00d"}, r"started with a different model \(--init\)"),
        ({"validation": ("a",)}, r"started with a different groups\.csv or parts\.csv"),
        ({"parts": ("hip",)}, r"started with a different groups\.csv or parts\.csv"),
    ],
)
def test_a_difference_is_named(change: dict[str, object], reason: str) -> None:
    with pytest.raises(TrainingError, match=f"^run: .*{reason}"):
        check_unchanged(PLAN.model_copy(update=change), PLAN, Path("run"))


def test_every_setting_that_differs_is_named_with_both_values() -> None:
    old, new = recipe(minutes=0.5), recipe(minutes=0.6)
    assert changed_settings(new, old) == ["run.minutes was 0.5, now 0.6"]
    counted = Recipe().with_settings(["loss.tversky=1", "network.widths=[8, 16]"])
    assert changed_settings(counted.settle([(64, 64)]), old) == [
        "network.levels was 4, now 2",
        "network.widths was [16, 32, 64, 128], now [8, 16]",
        "loss.tversky was unset, now 1.0",
        "run.minutes was 0.5, now unset",
    ]
    assert changed_settings(old, old) == []


def test_of_many_settings_that_differ_the_first_are_named() -> None:
    other = load_recipe("seed-unet").settle([(64, 64)])
    changed = changed_settings(other, recipe())
    assert len(changed) == SHOWN + 1
    assert re.fullmatch(r"and \d+ more", changed[-1])


def test_another_number_is_named_with_both(tmp_path: Path) -> None:
    class Folds(Plan):
        folds: int = Field(title="number of folds")

    before = Folds(films={}, folds=5)
    told = r"a different number of folds \(5, not 4\); use that one"
    with pytest.raises(TrainingError, match=told):
        check_unchanged(before.model_copy(update={"folds": 4}), before, tmp_path)


def test_the_summary_of_a_recipe_may_change() -> None:
    """Also in a plan of an older version, which kept it."""
    old = PLAN.model_dump()
    old["recipe"]["summary"] = "as it was worded before"
    check_unchanged(PLAN, TrainingPlan.model_validate(old), Path("run"))
    settled = Recipe(summary="as it is worded now").settle([(64, 64)])
    now = TrainingPlan.model_validate(PLAN.model_dump() | {"recipe": settled})
    check_unchanged(now, PLAN, Path("run"))
