"""The films and settings of a run, which is resumed only with the same ones."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import Field, field_validator

from boneseg._util.documents import Document
from boneseg._util.text import listed
from boneseg.errors import TrainingError
from boneseg.recipes.recipe import Recipe, SettledRecipe

CHECKPOINT = "checkpoint.safetensors"


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

    Raises TrainingError that names the films, or the first setting, that differ.
    """
    now, then = plan.films, before.films
    changed = sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))
    if changed:
        reason = f"films have changed since ({listed(changed)})"
        raise TrainingError(f"{place}: {reason}; start a new run")
    for name, field in type(plan).model_fields.items():
        if getattr(plan, name) != getattr(before, name):
            reason = f"was started with a different {field.title or name}"
            raise TrainingError(f"{place}: {reason}; use that one, or start a new run")
