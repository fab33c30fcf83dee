"""A warm start has the network of the model that it starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

from boneseg.bundle.store import Bundle, load_bundle
from boneseg.errors import RecipeError, TrainingError, UsageError
from boneseg.recipes.builtin import load_recipe
from boneseg.recipes.recipe import Recipe
from boneseg.training.finetune import refuse_other_network, starting_from
from tests.support.readings import card


def test_without_a_model_the_recipe_is_as_it_was() -> None:
    assert starting_from(Recipe(), None) == Recipe()


def test_the_network_is_that_of_the_model() -> None:
    init = load_bundle("bundled")
    started = starting_from(load_recipe("fast"), init)
    assert started.network == init.card.network
    assert started.run == load_recipe("fast").run


def test_an_ensemble_is_refused() -> None:
    init = Bundle(Path("several"), card(members=3))
    with pytest.raises(TrainingError, match="is an ensemble; start from one of its folds"):
        starting_from(Recipe(), init)


def test_a_trained_unetplusplus_can_be_pruned() -> None:
    """As train advises at its end, also where the run was itself a warm start."""
    asked = load_recipe("unetplusplus").with_settings(["network.depth=2"]).settle([(256, 256)])
    nested = asked.network.model_copy(update={"depth": None})
    init = Bundle(Path("nested"), card(architecture=nested.model_dump(mode="json")))
    refuse_other_network(asked, ["network.depth=2"], init)
    assert starting_from(asked, init).settle([(256, 256)]) == asked
    with pytest.raises(RecipeError, match="depth requires architecture unetplusplus"):
        starting_from(asked, load_bundle("bundled"))


def test_settings_of_the_model_may_be_repeated_but_not_contradicted() -> None:
    init = load_bundle("bundled")
    for words in (["network.width=24", "run.epochs=2"], ["network.stem=2"], []):
        refuse_other_network(Recipe().with_settings(words), words, init)
    words = ["network.width=32"]
    with pytest.raises(UsageError, match="the --init model has 24"):
        refuse_other_network(Recipe().with_settings(words), words, init)
