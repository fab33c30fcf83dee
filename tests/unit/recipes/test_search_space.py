"""The search space of a search for a recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from boneseg.errors import RecipeError
from boneseg.recipes.recipe import Recipe
from boneseg.recipes.search_space import SPACE as DEFAULT_SPACE
from boneseg.recipes.search_space import Choices, Range, check_space, read_space


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("[augment.rotatoin]\nlow = 0\nhigh = 9\n", "did you mean 'augment.rotation'"),
        ("[augment.rotation]\nlow = 0\n", "is not a range"),
        ("[augment.rotation]\nchoices = []\n", "is not a range"),
        ("[augment.rotation]\nlow = 9\nhigh = 9\n", "low = 9 is not below high = 9"),
        ("[augment.rotation]\nlow = 0\nhigh = inf\n", "is not a range"),
        (
            "[optimiser.learning_rate]\nlow = 0\nhigh = 0.1\nlog = true\n",
            "optimiser.learning_rate: log = true needs low above 0",
        ),
        ("augment = 3\n", "unknown setting 'augment'"),
        ("", "names no setting"),
        ("[[[", "not TOML"),
    ],
)
def test_an_invalid_space_is_one_line(text: str, answer: str, tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        read_space(path)
    assert answer in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_default_search_space_is_valid() -> None:
    check_space(DEFAULT_SPACE, Recipe(), lambda recipe: recipe.settle([(256, 256)]))


def test_a_space_is_a_table_a_setting(tmp_path: Path) -> None:
    path = tmp_path / "space.toml"
    path.write_text(
        "[optimiser.learning_rate]\nlow = 1e-4\nhigh = 1e-2\nlog = true\n"
        "[network]\nwidth.choices = [8, 16]\n[network.levels]\nlow = 3\nhigh = 5\n"
    )
    assert read_space(path) == {
        "optimiser.learning_rate": Range(low=1e-4, high=1e-2, log=True),
        "network.width": Choices(choices=(8, 16)),
        "network.levels": Range(low=3, high=5),
    }
