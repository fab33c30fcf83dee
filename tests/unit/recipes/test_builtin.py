"""The built-in recipes."""

from __future__ import annotations

import pytest

from boneseg.recipes.builtin import BUILT_IN, load_recipe
from boneseg.recipes.recipe import Recipe, keys


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_recipe_takes_two_steps(name: str) -> None:
    import torch

    from boneseg.networks import build
    from boneseg.training.losses import supervised_loss

    small = ["prepare.height=64", "prepare.width=64"]
    chosen = load_recipe(name).with_settings(small).settle([(64, 64)])
    network = build(chosen.network)
    optimiser = torch.optim.SGD(network.parameters(), 1e-6)
    film, mask = torch.randn(2, 1, 64, 64), torch.zeros(2, 1, 64, 64)
    mask[:, :, 20:40, 20:40] = 1
    losses = []
    for _ in range(2):
        outputs = network(film)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        loss = supervised_loss(outputs, mask, chosen.loss)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    assert all(0 < one < 10 for one in losses)


def test_the_recipes_of_the_original_match_its_trials() -> None:
    deep = load_recipe("seed-deep")
    assert deep.network.widths == (32, 32, 64, 64, 128, 128, 256, 512)
    assert (deep.loss.dice, deep.loss.bce, deep.loss.focal) == (0.15, 0, 1)
    assert (deep.loss.focal_gamma, deep.loss.focal_alpha) == (2, 0.25)
    assert (deep.optimiser.name, deep.optimiser.learning_rate) == ("adam", 8.3e-4)
    assert (deep.optimiser.plateau_factor, deep.optimiser.plateau_patience) == (0.9, 8)
    assert (deep.run.batch, deep.run.epochs) == (8, 100)
    trials = [name for name in BUILT_IN if name.startswith("seed-deep-")]
    one_thing = {name: changed(load_recipe(name)) for name in trials}
    assert one_thing["seed-deep-512"] == {"prepare.height", "prepare.width"}
    assert one_thing["seed-deep-dice"] == {"loss.dice", "loss.focal"}
    assert one_thing["seed-deep-3-channels"] == one_thing["seed-deep-filters"] == {"network.inputs"}
    turned = {f"augment.{name}" for name in ("flip_horizontal", "geometry", "rotation", "shift")}
    assert one_thing["seed-deep-augment2"] == turned | {"augment.views"}
    assert load_recipe("seed-deep-augment4").augment.views == 3
    assert one_thing["seed-deep-plateau15"] == {
        "optimiser.plateau_factor",
        "optimiser.plateau_patience",
    }


def changed(recipe: Recipe) -> set[str]:
    deep = load_recipe("seed-deep")

    def value(of: Recipe, key: str) -> object:
        section, name = key.split(".")
        return getattr(getattr(of, section), name)

    return {key for key in keys() if value(recipe, key) != value(deep, key)}
