"""A recipe that trains in seconds."""

from __future__ import annotations

from boneseg.recipes.builtin import BUILT_IN
from boneseg.recipes.recipe import Recipe

SETTINGS = [
    *("prepare.height=64", "prepare.width=64", "network.width=6", "network.levels=3"),
    *("run.epochs=12", "run.precision=fp32"),
]


def recipe(*more: str) -> Recipe:
    return BUILT_IN["default"].with_settings([*SETTINGS, *more])
