"""A recipe is typed data: written, read again, and unknown keys are refused."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from boneseg.errors import RecipeError
from boneseg.recipes.builtin import load_recipe
from boneseg.recipes.network import SettledNetwork
from boneseg.recipes.recipe import Recipe, SettledRecipe, parse


def test_epochs_take_the_place_of_minutes() -> None:
    timed = Recipe().with_settings(["run.minutes=5"])
    assert timed.run.minutes == 5
    counted = timed.with_settings(["run.epochs=40"])
    assert (counted.run.epochs, counted.run.minutes) == (40, None)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("[netwrk]\nwidth = 8\n", "own.toml: unknown section 'netwrk' (did you mean 'network'?)"),
        ("network = 3\n", "own.toml: network is a section, not a setting; set its keys, such as"),
        ("batch = 3\n", "own.toml: unknown setting 'batch' (did you mean 'run.batch'?)"),
    ],
)
def test_a_wrong_section_is_named_in_one_line(text: str, answer: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(tomllib.loads(text), "own.toml")
    assert str(caught.value).startswith(answer)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("augment.rotation=viel", "augment.rotation = viel: give a number"),
        ("augment.rotation=0,5", "augment.rotation = 0,5: give a number, such as 0.5"),
        ("augment.rotation=500", "augment.rotation = 500: give a number of at most 180"),
        ("loss.dice=nan", "loss.dice = nan: give a finite number"),
        ("network.width=1.5", "network.width = 1.5: give a whole number"),
        ("network.widths=8,16", "network.widths = 8,16: give a list in brackets, such as [8,16]"),
        ('network.widths=[8,"wide"]', "network.widths.1 = wide: give a whole number"),
        ("run.guard=maybe", "run.guard = maybe: give true or false"),
        ("run.clock=cpu", "run.clock = cpu: give 'wall' or 'core'"),
        ("run.epochs=[3]", "run.epochs: give a whole number"),
    ],
)
def test_a_value_of_another_kind_is_answered_with_what_to_give(assignment: str, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe().with_settings([assignment])
    assert str(caught.value) == f"--set: {told}"


def test_a_recipe_of_a_newer_version_is_refused() -> None:
    with pytest.raises(RecipeError, match="newer"):
        parse(tomllib.loads("version = 99"), "own.toml")


@pytest.mark.parametrize(("asked", "size"), [("height=512", (512, 256)), ("width=96", (192, 96))])
def test_the_side_that_is_not_asked_for_follows_the_films_shape(
    asked: str, size: tuple[int, int]
) -> None:
    prepare = Recipe().with_settings([f"prepare.{asked}"]).settle([(400, 200)] * 3).prepare
    assert (prepare.height, prepare.width) == size


@pytest.mark.parametrize(
    ("shape", "size"),
    [((1024, 128), (1024, 128)), ((224, 224), (224, 224)), ((1200, 500), (576, 224))],
)
def test_the_working_size_keeps_the_films_shape(
    shape: tuple[int, int], size: tuple[int, int]
) -> None:
    settled = Recipe().settle([shape] * 5)
    assert (settled.prepare.height, settled.prepare.width) == size


@given(st.lists(st.tuples(st.integers(16, 5000), st.integers(16, 5000)), min_size=1, max_size=9))
def test_any_films_settle_into_a_network_that_can_be_built(shapes: list[tuple[int, int]]) -> None:
    settled = Recipe().settle(shapes)
    assert isinstance(settled, SettledRecipe)
    assert min(settled.prepare.height, settled.prepare.width) >= 32
    assert settled.prepare.height * settled.prepare.width <= 2.5 * settled.prepare.max_pixels
    stride = 2 ** (len(settled.network.widths) - 1)
    assert min(settled.prepare.height, settled.prepare.width) >= stride
    assert settled.settle(shapes) == settled


def test_a_settled_recipe_cannot_lack_a_value() -> None:
    with pytest.raises(ValidationError, match=r"prepare.height|network.widths|run.batch"):
        SettledRecipe.model_validate(Recipe().model_dump())


def test_a_settled_recipe_is_a_recipe_with_every_value_written(tmp_path: Path) -> None:
    settled = load_recipe("seed-unet").settle([(300, 200)])
    (tmp_path / "own.toml").write_text(settled.to_toml(), encoding="utf-8")
    assert load_recipe(str(tmp_path / "own.toml")).settle([(90, 700)]) == settled


def test_settings_of_the_network_from_another_version_are_ignored() -> None:
    network = SettledNetwork.model_validate({"widths": [8, 16], "gates": 3, "stem": None})
    assert (network.widths, network.levels, network.stem) == ((8, 16), 2, 1)


def test_a_weight_of_a_registered_loss_is_kept(tmp_path: Path) -> None:
    recipe = Recipe().with_settings(["loss.tversky=0.5", "loss.tversky_alpha=0.3"])
    (tmp_path / "own.toml").write_text(recipe.to_toml(), encoding="utf-8")
    again = load_recipe(str(tmp_path / "own.toml"))
    assert (again.loss.value("tversky", 0), again.loss.value("tversky_alpha", 0)) == (0.5, 0.3)
    assert again.loss.value("boundary", 0) == 0
