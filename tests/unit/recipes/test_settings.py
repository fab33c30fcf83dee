"""Settings are checked one by one."""

from __future__ import annotations

import pytest

from boneseg.errors import RecipeError
from boneseg.recipes.builtin import load_recipe
from boneseg.recipes.recipe import Recipe


@pytest.mark.parametrize(
    ("setting", "answer"),
    [
        ("run.sed=3", "did you mean 'run.seed'"),
        ("batch=3", "did you mean 'run.batch'"),
        ("run.seed", "section.key=value"),
        ("network=3", "network is a section, not a setting; set its keys, such as network."),
        ("run.batch=no", "whole number"),
        ("network.norm=layer", "'batch', 'instance' or 'none'"),
        ("network.depth=2", "requires architecture unetplusplus"),
        ("loss.dice=-1", "of at least 0"),
        ("loss.dice=inf", "finite"),
        ("run.minutes=inf", "finite"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(setting: str, answer: str) -> None:
    with pytest.raises(RecipeError, match="--set") as caught:
        Recipe().with_settings([setting])
    assert answer in str(caught.value)
    assert "\n" not in str(caught.value)


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
