"""The page of all recipes and settings."""

from __future__ import annotations

import inspect

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from boneseg.networks import NETWORKS
from boneseg.recipes.builtin import BUILT_IN, load_recipe
from boneseg.recipes.recipe import Recipe
from boneseg.training.components import component_comments
from boneseg.training.losses import LOSSES, parameters
from boneseg.training.optimiser import OPTIMISERS
from boneseg.training.schedule import SCHEDULES
from scripts.reference.markdown import escaped, joined, listed, summary, table

REGISTERED = {  # settings that name something registered
    "network.architecture": NETWORKS,
    "optimiser.name": OPTIMISERS,
    "optimiser.schedule": SCHEDULES,
}


def recipes() -> str:
    """The page of all recipes and settings."""
    lines = [
        "# Recipes",
        "",
        "This page is generated from the recipes themselves. A recipe is every setting of a "
        "training run. `boneseg train --recipe` takes a built-in recipe by name, or a TOML file; "
        "`--set section.key=value` changes a setting. `boneseg recipes NAME` prints a recipe as "
        "TOML. Settings without a value are derived from the films when training starts.",
        "",
        "## Built-in recipes",
        "",
        *table(("name", "what it is"), [(f"`{k}`", v.summary) for k, v in BUILT_IN.items()]),
        "",
        "## Settings",
    ]
    for section, info in Recipe.model_fields.items():
        kind = info.annotation
        if not (inspect.isclass(kind) and issubclass(kind, BaseModel)):
            continue
        rows = [
            (
                f"`{section}.{name}`",
                field.description or "",
                _value(field),
                listed(REGISTERED.get(f"{section}.{name}", ())) or _range(field),
            )
            for name, field in kind.model_fields.items()
        ]
        lines += ["", f"### {section}", "", joined(kind.__doc__ or ""), ""]
        lines += table(("setting", "meaning", "default", "allowed"), rows)
    losses = [
        (f"`{name}`", escaped(summary(loss)), listed(parameters(name)))
        for name, loss in LOSSES.items()
    ]
    lines += ["", "### Losses", "", *table(("loss", "formula", "parameters"), losses)]
    text = load_recipe("default").to_toml(component_comments()).rstrip()
    lines += ["", "## The default recipe as a file", "", "```toml", *text.splitlines(), "```"]
    return "\n".join(lines) + "\n"


def _value(field: FieldInfo) -> str:
    default = field.default
    if default is None:
        return "from the films" if "from the" in (field.description or "") else "–"
    if isinstance(default, tuple):
        default = list(default)
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _range(field: FieldInfo) -> str:
    if field.annotation is bool:
        return listed(("true", "false"))
    choices = getattr(field.annotation, "__args__", ())
    if choices and all(isinstance(one, str) for one in choices):
        return listed(choices)
    words = []
    for bound in field.metadata:
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            if (number := getattr(bound, name, None)) is not None:
                words.append(f"{sign} {number}")
    return " and ".join(words)
