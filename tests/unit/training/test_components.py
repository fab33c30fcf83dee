"""Names in a recipe are checked against the registries before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from boneseg.dataset.open import open_dataset
from boneseg.errors import RecipeError
from boneseg.experiments.crossval import cross_validate
from boneseg.recipes.builtin import BUILT_IN, load_recipe
from boneseg.recipes.recipe import Recipe
from boneseg.simulate import simulate
from boneseg.training import losses
from boneseg.training.components import check_components, component_comments
from boneseg.training.train import train


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_recipe_names_what_is_registered(name: str) -> None:
    check_components(load_recipe(name))


@pytest.mark.parametrize(
    ("setting", "answer"),
    [
        ("network.architecture=unett", "network.architecture: no network 'unett' (did you mean"),
        (
            "optimiser.name=adma",
            "optimiser.name: no optimiser 'adma' (did you mean 'adam'?); choose",
        ),
        ("optimiser.schedule=step", "optimiser.schedule: no schedule 'step'; choose from cosine"),
        (
            "loss.dise=1",
            "loss.dise: no loss has this name or parameter (did you mean 'dice'?); the",
        ),
        ("loss.bce_gamma=1", "loss.bce_gamma: the loss bce has no parameters; remove this setting"),
        (
            "loss.focal_gama=1",
            "loss.focal_gama: the loss focal has no such parameter; choose from loss.focal_",
        ),
    ],
)
def test_an_unknown_name_is_refused_in_one_line(setting: str, answer: str) -> None:
    with pytest.raises(RecipeError) as caught:
        check_components(Recipe().with_settings([setting]))
    assert str(caught.value).startswith(answer)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_refused_before_the_films_are_read(tmp_path: Path) -> None:
    simulate(tmp_path / "films", 2, size=(64, 64))
    dataset = open_dataset(tmp_path / "films")
    for case in dataset.cases:
        case.image.write_bytes(b"damaged")
    recipe = Recipe(network={"architecture": "unett"})
    for run in (train, cross_validate):
        with pytest.raises(RecipeError, match="unett"):
            run(dataset, recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registered loss with one parameter."""
    monkeypatch.setattr(losses.LOSSES, "_entries", dict(losses.LOSSES.items()))

    @losses.LOSSES.register("squares")
    def squared_error(logits: Tensor, target: Tensor, scale: float = 2.0) -> Tensor:
        """Mean squared error of the probability."""
        return scale * (logits.sigmoid() - target).square().mean()


@pytest.mark.usefixtures("squares")
def test_a_registered_loss_needs_no_other_edit() -> None:
    recipe = Recipe().with_settings(["loss.dice=0", "loss.bce=0", "loss.squares=0.5"])
    check_components(recipe)
    logits, target = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    assert losses.total_loss(logits, target, recipe.loss) == 0.5 * 2 * 0.25
    other = recipe.with_settings(["loss.squares_scale=8"])
    check_components(other)
    assert losses.total_loss(logits, target, other.loss) == 0.5 * 8 * 0.25


@pytest.mark.usefixtures("squares")
def test_a_registered_loss_is_listed_with_its_parameters() -> None:
    text = Recipe().to_toml(component_comments())
    assert "weight of: Mean squared error of the probability." in text
    assert "parameter of squares; default 2" in text


def test_what_can_be_chosen_is_listed_in_a_printed_recipe() -> None:
    text = Recipe().to_toml(component_comments())
    assert 'architecture = "unet"        # network family: unet, unetplusplus' in text
    assert "optimiser: adamw, adam, sgd" in text
    assert "schedule of the learning rate: cosine, poly, plateau, constant" in text


@pytest.mark.usefixtures("squares")
def test_weights_below_0_or_all_0_are_refused() -> None:
    nothing = ["loss.dice=0", "loss.bce=0", "loss.squares=0"]
    with pytest.raises(RecipeError, match="at least one of dice, bce, focal, squares must be"):
        check_components(Recipe().with_settings(nothing))
    with pytest.raises(RecipeError, match=r"loss.squares: a weight cannot be below 0, but is -1"):
        check_components(Recipe().with_settings(["loss.squares=-1"]))
