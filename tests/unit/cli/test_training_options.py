"""Options of the training verbs: each has its help, and stands in the panel of its kind."""

from __future__ import annotations

from typing import get_args, get_origin

import pytest

from boneseg.cli import common, training_options
from boneseg.cli.arguments import Argument, Option
from boneseg.recipes.builtin import load_recipe
from tests.support.command_line import boneseg

PANELS = {common.INPUT, common.OUTPUT, common.MODEL, common.TRAINING, common.ADVANCED,
          common.CLUSTER}  # fmt: skip
OPTIONS: dict[str, Argument | Option] = {
    name: get_args(option)[1]
    for name, option in vars(training_options).items()
    if get_origin(option) is not None and hasattr(option, "__metadata__")
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_explained_in_a_panel_of_its_kind(name: str) -> None:
    option = OPTIONS[name]
    assert isinstance(option, Argument) or option.panel in PANELS
    assert option.help[0].isupper() and option.help.endswith((".", ")"))


def test_the_help_says_how_long_a_training_takes_by_default() -> None:
    run = load_recipe("default").run
    assert (run.epochs, run.minutes) == (training_options.DEFAULT_EPOCHS, None)
    assert f"{run.epochs} epochs in the default recipe" in OPTIONS["Epochs"].help
    assert all("--epochs" in OPTIONS[f"{each}Minutes"].help for each in ("", "Fold", "Trial"))


@pytest.mark.parametrize("verb", ["train", "crossval", "compare", "tune"])
def test_every_verb_of_training_takes_a_setting_and_a_time(verb: str) -> None:
    done = boneseg(verb, "--help")
    assert done.returncode == 0
    for option in ("--set", "--minutes", "--epochs", "--resume", "--out"):
        assert option in done.stdout
