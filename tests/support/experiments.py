"""A recipe that trains in seconds."""

from __future__ import annotations

from typing import cast

from boneseg.bundle.store import Bundle
from boneseg.experiments.tune_result import Tuned
from boneseg.recipes.builtin import BUILT_IN
from boneseg.recipes.recipe import Recipe

SETTINGS = [
    *("prepare.height=64", "prepare.width=64", "network.width=6", "network.levels=3"),
    *("run.epochs=12", "run.precision=fp32"),
]


def recipe(*more: str) -> Recipe:
    return BUILT_IN["default"].with_settings([*SETTINGS, *more])


SMALL = (
    *("prepare.height=64", "prepare.width=64", "network.width=4", "network.levels=3"),
    *("run.precision=fp32", "run.batch=4", "run.epochs=4"),
)


def found(base: Recipe, held_out: int, p: float) -> Tuned:
    settings = {"network.width": 6}
    dice, gain = (0.8, 0.9), (0.05, 0.15)
    bundle = cast(Bundle, None)
    return Tuned((), 0.8, 0.9, settings, base, held_out, dice, gain, p, bundle)
