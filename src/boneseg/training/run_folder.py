"""The films and settings of a run, which is resumed only with the same ones."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import Field, field_validator

from boneseg._util.documents import Document
from boneseg._util.text import SHOWN, listed
from boneseg.errors import TrainingError
from boneseg.recipes.recipe import Recipe, SettledRecipe
from boneseg.recipes.toml import written_value

CHECKPOINT = "checkpoint.safetensors"
UNSET = "unset"  # a setting without a value, in messages


class Plan(Document):
    """The films and settings of a run; the title of a field names it in messages.

    films: the fingerprint of each film, by name. Settings that are derived from others come after
    them. The summary of a recipe may change: only what has an effect on the run is kept.
    """

    films: dict[str, str]

    @field_validator("recipe", check_fields=False)
    @classmethod
    def _without_summary(cls, recipe: Recipe) -> Recipe:
        return recipe.without_summary()


class TrainingPlan(Plan):
    """The films and settings of a training run."""

    recipe: SettledRecipe
    init: str | None = Field(None, title="model (--init)")  # SHA-256 of its card
    validation: tuple[str, ...] = Field(title="groups.csv or parts.csv")  # names of films
    parts: tuple[str | None, ...] = Field(title="groups.csv or parts.csv")  # of training films

    @classmethod
    def upgraded(cls, content: dict[str, object]) -> dict[str, object]:
        if isinstance(split := content.pop("dealt", None), list) and len(split) == 2:
            content["validation"], content["parts"] = split
        return content


P = TypeVar("P", bound=Plan)


def check_unchanged(plan: P, before: P, place: Path) -> None:
    """Compare a resumed run with the films and settings it was started with.

    Raises TrainingError that names the films, or the settings, that differ.
    """
    now, then = plan.films, before.films
    changed = sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))
    if changed:
        reason = f"films have changed since ({listed(changed)})"
        raise TrainingError(f"{place}: {reason}; start a new run")
    for name, field in type(plan).model_fields.items():
        new, old = getattr(plan, name), getattr(before, name)
        if new == old:
            continue
        if isinstance(new, Recipe) and isinstance(old, Recipe):
            reason = f"settings have changed since ({'; '.join(changed_settings(new, old))})"
            raise TrainingError(f"{place}: {reason}; use the earlier ones, or start a new run")
        both = f" ({old}, not {new})" if isinstance(new, int) else ""
        reason = f"was started with a different {field.title or name}{both}"
        raise TrainingError(f"{place}: {reason}; use that one, or start a new run")


def changed_settings(new: Recipe, old: Recipe) -> list[str]:
    """The settings that differ, each with both values; at most `SHOWN` are named."""
    now, then = _by_name(new), _by_name(old)
    names = [name for name in now | then if now.get(name) != then.get(name)]
    found = [f"{name} was {then.get(name, UNSET)}, now {now.get(name, UNSET)}" for name in names]
    more = len(found) - SHOWN
    return found if more <= 0 else [*found[:SHOWN], f"and {more} more"]


def _by_name(recipe: Recipe) -> dict[str, str]:
    """Every setting that has a value, by section.key, as it is written in TOML."""
    sections = {name: part for name, part in recipe.model_dump().items() if isinstance(part, dict)}
    return {
        f"{section}.{key}": written_value(value)
        for section, settings in sections.items()
        for key, value in settings.items()
        if value is not None
    }
