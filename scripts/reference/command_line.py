"""The page of all verbs and their options, from typer."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import typer

from boneseg.cli.typer_app import app
from scripts.reference.markdown import cell, sentence, table


def command_line() -> str:
    """The page of all verbs and their options."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    lines = [
        "# Command line",
        "",
        "This page is generated from the command line itself; `boneseg VERB --help` prints the "
        "same. Exit status: 0 if all is done, 1 if some inputs failed (each is named with its "
        "reason, and the others are done), 2 if the call is invalid.",
    ]
    for verb, command in commands.items():
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        words = " ".join(_argument(one) for one in arguments)
        options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
        needed = " ".join(f"{p.opts[0]} {_metavar(p)}" for p in options if p.required)
        call = " ".join(filter(None, ("boneseg", verb, words, needed, "[OPTIONS]")))
        lines += ["", f"## boneseg {verb}", "", sentence(command.help), "", "```text", call, "```"]
        rows = [(f"`{_argument(p)}`", cell(p.help)) for p in arguments]
        if rows:
            lines += ["", *table(("argument", "meaning"), rows)]
        panels: dict[str, list[tuple[str, str]]] = {}
        for option in options:
            row = (_option(option), f"{cell(option.help)}. {_default(option)}".strip())
            panels.setdefault(option.rich_help_panel or "Options", []).append(row)
        for panel, listed in panels.items():
            lines += ["", *table((panel, "meaning"), listed)]
    return "\n".join(lines) + "\n"


def _argument(parameter: typer.core.TyperArgument) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    name = str(parameter.name).upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _metavar(option: typer.core.TyperOption) -> str:
    if option.is_flag:
        return ""
    kind = option.type_descriptor.annotation
    if option.metavar:
        return str(option.metavar)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(one.value) for one in kind)
    choices = getattr(kind, "__args__", ())
    if choices and all(isinstance(one, str) for one in choices):  # a Literal
        return "|".join(choices)
    kind = choices[0] if choices else kind
    names = {Path: "PATH", str: "TEXT", int: "INTEGER", float: "NUMBER"}
    return names.get(kind, "TEXT")


def _option(option: typer.core.TyperOption) -> str:
    metavar = _metavar(option)
    return f"`{', '.join(option.opts)}{' ' + metavar if metavar else ''}`"


def _default(option: typer.core.TyperOption) -> str:
    if option.required:
        return "Required."
    if option.default is None or option.is_flag or option.default == ():
        return ""
    value = option.default.value if isinstance(option.default, Enum) else option.default
    return f"Default: `{value}`."
