"""A recipe is typed data: written, read again, and exact about what it does not know."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from boneseg.errors import RecipeError
from boneseg.recipes.builtin import BUILT_IN, load_recipe
from boneseg.recipes.recipe import Recipe, SettledRecipe, keys, parse
from boneseg.recipes.settings import SettledNetwork


def test_epochs_take_the_place_of_minutes() -> None:
    timed = Recipe().with_settings(["run.minutes=5"])
    assert timed.run.minutes == 5
    counted = timed.with_settings(["run.epochs=40"])
    assert (counted.run.epochs, counted.run.minutes) == (40, None)


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


@pytest.mark.parametrize(
    ("setting", "answer"),
    [
        ("run.sed=3", "did you mean 'run.seed'"),
        ("batch=3", "did you mean 'run.batch'"),
        ("run.seed", "section.key=value"),
        ("network=3", "network is a section, not a setting; set its keys, such as network."),
        ("run.batch=no", "integer"),
        ("network.norm=layer", "'batch', 'instance' or 'none'"),
        ("network.depth=2", "requires architecture unetplusplus"),
        ("loss.dice=-1", "greater than or equal to 0"),
        ("loss.dice=inf", "finite"),
        ("run.minutes=inf", "finite"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(setting: str, answer: str) -> None:
    with pytest.raises(RecipeError, match="--set") as caught:
        Recipe().with_settings([setting])
    assert answer in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("[netwrk]\nwidth = 8\n", "own.toml: unknown section 'netwrk', did you mean 'network'?"),
        ("network = 3\n", "own.toml: network is a section, not a setting; set its keys, such as"),
        ("batch = 3\n", "own.toml: unknown setting 'batch', did you mean 'run.batch'?"),
    ],
)
def test_a_wrong_section_is_named_in_one_line(text: str, answer: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(tomllib.loads(text), "own.toml")
    assert str(caught.value).startswith(answer)
    assert "\n" not in str(caught.value)


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


def test_the_trials_of_the_original_are_as_it_ran_them() -> None:
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


def test_a_depth_beyond_the_network_is_named() -> None:
    deep = load_recipe("unetplusplus").with_settings(["network.depth=5"])
    with pytest.raises(RecipeError, match="5 levels allow at most depth 4"):
        deep.settle([(256, 256)])


BOTTOM_OF_ONE = ("prepare.height=64", "prepare.width=64", "network.stem=2", "network.levels=6")


@pytest.mark.parametrize(
    ("settings", "answer"),
    [
        (["network.norm=instance"], "norm instance: 6 levels reduce .* a larger grid"),
        (["run.batch=1"], "norm batch: 6 levels reduce 64 x 64 to 1 pixel with 1 film per step"),
        (["run.batch=2"], ""),
        (["network.norm=none", "run.batch=1"], ""),
        (["network.norm=instance", "network.levels=5"], ""),
        (["network.norm=instance", "network.stem=1"], ""),
        (["network.norm=instance", "prepare.height=96"], ""),
    ],
)
def test_a_network_that_would_normalise_a_single_value_is_refused(
    settings: list[str], answer: str
) -> None:
    import torch

    from boneseg.networks import build

    small = ["network.width=2", "network.max_width=4"]
    chosen = Recipe().with_settings([*BOTTOM_OF_ONE, *small, *settings])
    if answer:
        with pytest.raises(RecipeError, match=answer):
            chosen.settle([(64, 64)])
        return
    settled = chosen.settle([(64, 64)])
    size = settled.prepare.height, settled.prepare.width
    build(settled.network).train()(torch.zeros(settled.run.batch, 1, *size))


def test_gates_belong_to_the_plain_family() -> None:
    with pytest.raises(RecipeError, match="attention"):
        load_recipe("unetplusplus").with_settings(["network.attention=true"])


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
