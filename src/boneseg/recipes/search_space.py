"""The search space of `tune`: for each setting a range of numbers, or choices.

A space is written as TOML, one table per setting::

    [optimiser.learning_rate]
    low = 1e-4
    high = 1e-2
    log = true

    [network]
    width.choices = [8, 16]
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from boneseg._util.invalid_value import quoted
from boneseg._util.text import nearest
from boneseg.errors import RecipeError
from boneseg.recipes.recipe import LONGEST_KEY, Recipe, is_setting, keys
from boneseg.recipes.toml import read_toml

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Range(BaseModel):
    """Numbers from low to high; integers where both are integers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: int | Finite
    high: int | Finite
    log: bool = Field(False, description="sample on a logarithmic scale")

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} is not below high = {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"log = true needs low above 0, not {self.low:g}")
        return self

    @property
    def samples(self) -> tuple[int | float, ...]:
        """Values to check: both ends and, unless only integers are allowed, a fraction between."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        between = () if whole else (self.low + (self.high - self.low) * math.sqrt(0.5),)
        return (self.low, self.high, *between)


class Choices(BaseModel):
    """One of several values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    choices: tuple[bool | int | float | str, ...] = Field(min_length=1)

    @property
    def samples(self) -> tuple[bool | int | float | str, ...]:
        return self.choices


Space = Mapping[str, Range | Choices]  # by "section.key"

SPACE: Space = {
    "optimiser.learning_rate": Range(low=3e-4, high=1e-2, log=True),
    "optimiser.weight_decay": Range(low=1e-4, high=1e-1, log=True),
    "network.width": Choices(choices=(12, 16, 24)),
    "network.stem": Choices(choices=(1, 2, 4)),
    "network.block": Choices(choices=("plain", "residual", "separable")),
    "network.deep_supervision": Choices(choices=(True, False)),
    "augment.rotation": Range(low=0.0, high=20.0),
    "augment.zoom": Range(low=0.0, high=0.4),
    "augment.elastic": Range(low=0.0, high=0.5),
    "loss.focal": Range(low=0.0, high=2.0),
}


def read_space(path: Path) -> Space:
    """Read a search space from TOML: one table per setting, with low, high (and log) or choices.

    Raises RecipeError.
    """
    data = read_toml(path)
    space: dict[str, Range | Choices] = {}
    for section, settings in data.items():
        for key, value in settings.items() if isinstance(settings, dict) else [("", None)]:
            name = f"{section}.{key}".rstrip(".")[:LONGEST_KEY]
            if not is_setting(name):
                raise RecipeError(f"{path}: unknown setting {name!r}{nearest(name, keys())}")
            space[name] = _read(value, f"{path}: {name}")
    if not space:
        raise RecipeError(f"{path}: names no setting; add one table per setting")
    return space


def _read(value: object, where: str) -> Range | Choices:
    kind = Choices if isinstance(value, dict) and "choices" in value else Range
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "value_error":
            reason = first["msg"].removeprefix("Value error, ")
        else:
            reason = "is not a range; give low and high (and log = true), or choices = [...]"
        raise RecipeError(f"{where}: {reason}") from None


def check_space(space: Space, base: Recipe, check: Callable[[Recipe], object]) -> None:
    """Check every choice and the ends of every range, each alone, against the base recipe.

    check: raises RecipeError for a recipe that cannot be used. Raises RecipeError for an invalid
    value.
    """
    for name, one in space.items():
        for value in one.samples:
            try:
                check(varied(base, {name: value}))
            except RecipeError as error:
                reason = str(error).removeprefix("--set: ")
                reason = reason.removeprefix(f"{name} = {quoted(value)}: ").removeprefix(
                    f"{name}: "
                )
                raise RecipeError(f"search space: {name} = {json.dumps(value)}: {reason}") from None


def varied(base: Recipe, settings: Mapping[str, object]) -> Recipe:
    """Return the base with these settings; width, max_width or levels clear explicit widths."""
    if settings.keys() & {"network.width", "network.max_width", "network.levels"}:
        freed = base.network.model_copy(update={"widths": None})
        base = base.model_copy(update={"network": freed})
    return base.with_settings([f"{key}={json.dumps(value)}" for key, value in settings.items()])
