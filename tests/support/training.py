"""Recipes that train in seconds, and their inputs."""

from __future__ import annotations

from boneseg.recipes.builtin import BUILT_IN
from boneseg.recipes.recipe import Recipe

SMALL = ["prepare.height=64", "prepare.width=64", "network.stem=1", "network.width=8"]


def recipe(*settings: str) -> Recipe:
    return BUILT_IN["default"].with_settings([*SMALL, "run.precision=fp32", *settings])
