"""Recipes as TOML."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from boneseg.recipes.builtin import BUILT_IN, load_recipe
from boneseg.recipes.recipe import Recipe, keys, parse


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_recipe_printed_is_the_recipe(name: str, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(load_recipe(name).to_toml(), encoding="utf-8")
    assert load_recipe(str(path)) == load_recipe(name)


def test_a_summary_of_several_lines_is_printed_as_one_comment() -> None:
    recipe = Recipe(summary="knees\nwidth = 3")
    assert parse(tomllib.loads(recipe.to_toml()), "own.toml") == recipe


def test_every_setting_is_printed_with_a_comment() -> None:
    text = Recipe().to_toml()
    for key in keys():
        line = next(line for line in text.splitlines() if f"{key.split('.')[1]} =" in line)
        assert len(line.rpartition("#")[2].strip()) > 3
