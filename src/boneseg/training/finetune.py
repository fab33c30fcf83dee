"""Warm starts: the recipe and the network of a run that starts from a trained model."""

from __future__ import annotations

from collections.abc import Sequence

from boneseg.bundle.store import Bundle
from boneseg.errors import TrainingError, UsageError
from boneseg.recipes.recipe import Recipe


def starting_from(recipe: Recipe, init: Bundle | None) -> Recipe:
    """The recipe with the network of the warm-start bundle, cut to the recipe's depth, if set.

    Raises TrainingError for an ensemble, RecipeError for a network that cannot be cut.
    """
    if init is None:
        return recipe
    if init.card.members > 1:
        raise TrainingError(f"{init.path}: is an ensemble; start from one of its folds")
    depth = recipe.network.depth
    started = recipe.model_copy(update={"network": init.card.network})
    return started if depth is None else started.with_settings([f"network.depth={depth}"])


def refuse_other_network(recipe: Recipe, settings: Sequence[str], init: Bundle | None) -> None:
    """Reject explicit `settings` (as set in `recipe`) that contradict the network of init.

    Network settings of the recipe itself are overridden silently. Raises UsageError.
    """
    for key in (setting.partition("=")[0].strip() for setting in settings):
        section, _, name = key.partition(".")
        if init is not None and section == "network" and name != "depth":
            ours = getattr(init.card.network, name)
            if getattr(recipe.network, name) != ours:
                reason = f"the --init model has {'none' if ours is None else ours}"
                raise UsageError(f"--set {key}: {reason}, and its network is used; omit --set")
