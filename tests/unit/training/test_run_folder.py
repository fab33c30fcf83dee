"""A run is resumed only with the films and settings that it was started with."""

from __future__ import annotations

from pathlib import Path

import pytest

from boneseg.errors import TrainingError
from boneseg.recipes.recipe import Recipe
from boneseg.training.run_folder import TrainingPlan, check_unchanged

PLAN = TrainingPlan(
    films={"a": "1", "b": "2"},
    recipe=Recipe().settle([(64, 64)]),
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
        ({"recipe": Recipe().settle([(32, 32)])}, "started with a different recipe; use that one"),
        ({"init": "f00d"}, r"started with a different model \(--init\)"),
        ({"validation": ("a",)}, r"started with a different groups\.csv or parts\.csv"),
        ({"parts": ("hip",)}, r"started with a different groups\.csv or parts\.csv"),
    ],
)
def test_a_difference_is_named(change: dict[str, object], reason: str) -> None:
    with pytest.raises(TrainingError, match=f"^run: .*{reason}"):
        check_unchanged(PLAN.model_copy(update=change), PLAN, Path("run"))


def test_the_summary_of_a_recipe_may_change() -> None:
    """Also in a plan of an older version, which kept it."""
    old = PLAN.model_dump()
    old["recipe"]["summary"] = "as it was worded before"
    check_unchanged(PLAN, TrainingPlan.model_validate(old), Path("run"))
    settled = Recipe(summary="as it is worded now").settle([(64, 64)])
    now = TrainingPlan.model_validate(PLAN.model_dump() | {"recipe": settled})
    check_unchanged(now, PLAN, Path("run"))
