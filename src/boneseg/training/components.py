"""The components that a recipe names: networks, losses, optimisers and schedules.

Recipes name them without importing them; the names are checked here, before any film is read.
"""

from __future__ import annotations

from boneseg._util.text import nearest
from boneseg.errors import RecipeError, UsageError
from boneseg.networks import NETWORKS
from boneseg.recipes.recipe import Recipe
from boneseg.training.losses import LOSSES, parameters
from boneseg.training.optimiser import OPTIMISERS
from boneseg.training.schedule import SCHEDULES


def check_components(recipe: Recipe) -> None:
    """Raise RecipeError for a name that is not registered, and where every loss has weight 0."""
    named = (
        ("network.architecture", NETWORKS, recipe.network.architecture),
        ("optimiser.name", OPTIMISERS, recipe.optimiser.name),
        ("optimiser.schedule", SCHEDULES, recipe.optimiser.schedule),
    )
    for key, registry, name in named:
        try:
            registry[name]
        except UsageError as error:
            raise RecipeError(f"{key}: {error}") from None
    _check_losses(recipe)


def _check_losses(recipe: Recipe) -> None:
    known = [key for name in LOSSES for key in (name, *parameters(name))]
    for key in recipe.loss.model_dump():
        if key not in known:
            raise RecipeError(f"loss.{key}: {_unknown_loss(key, known)}")
    weights = {name: recipe.loss.value(name, 0.0) for name in LOSSES}
    for name, weight in weights.items():
        if weight < 0:
            raise RecipeError(f"loss.{name}: a weight cannot be below 0, but is {weight:g}")
    if not any(weights.values()):
        raise RecipeError(f"loss: at least one of {', '.join(LOSSES)} must be above 0")


def _unknown_loss(key: str, known: list[str]) -> str:
    """Why a key of the section `loss` is unknown, and what there is instead."""
    owner = max((name for name in LOSSES if key.startswith(f"{name}_")), key=len, default=None)
    if owner is None:
        hint = nearest(key, known)
        return f"no loss has this name or parameter{hint}; the losses are {', '.join(LOSSES)}"
    own = [f"loss.{parameter}" for parameter in parameters(owner)]
    if not own:
        return f"the loss {owner} has no parameters; remove this setting"
    return f"the loss {owner} has no such parameter; choose from {', '.join(own)}"


def component_comments() -> dict[str, str]:
    """The possible values of each name in a recipe, for `Recipe.to_toml`."""
    comments = {
        "network.architecture": f"network family: {', '.join(NETWORKS)}",
        "optimiser.name": f"optimiser: {', '.join(OPTIMISERS)}",
        "optimiser.schedule": f"schedule of the learning rate: {', '.join(SCHEDULES)}",
    }
    declared = Recipe().loss.model_dump()
    for name, loss in LOSSES.items():
        if name not in declared:
            summary = (loss.__doc__ or "").strip().partition("\n")[0]
            comments[f"loss.{name}"] = f"weight of: {summary}"
        for key, default in parameters(name).items():
            if key not in declared:
                comments[f"loss.{key}"] = f"parameter of {name}; default {default:g}"
    return comments
