"""The arguments and options of verbs: declared in their signatures, and parsed if a call is plain.

    def segment(
        inputs: Annotated[list[Path], Argument(help="Films or folders of films.")],
        frame: Annotated[int | None, Option(help="Frame of multi-frame films, from 1.")] = None,
    ) -> int: ...

    plain_arguments(segment, ["knee.png", "--frame", "2"])
    # {"inputs": [Path("knee.png")], "frame": 2}

`typer_app.py` makes the whole command line of the same declarations. Importing typer takes as long
as segmenting a film, so it is imported only for calls that are not plain: help, and everything that
is invalid or that this module does not parse. A test compares the two on all verbs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, get_args, get_origin, get_type_hints

Verb = Callable[..., int]  # returns the exit status

_NUMBER = {int: r"\d{1,15}", float: r"\d{1,15}(\.\d{1,15})?"}  # others are left to typer


@dataclass(frozen=True)
class Argument:
    """A positional argument; its name is that of the parameter unless `metavar` is given."""

    _: KW_ONLY
    help: str
    metavar: str | None = None


@dataclass(frozen=True)
class Option:
    """An option, named after its parameter unless `name` is given; a bool is a flag.

    panel: of --help. min, max: of numbers.
    """

    name: str = ""
    _: KW_ONLY
    help: str
    panel: str | None = None
    metavar: str | None = None
    min: float | None = None
    max: float | None = None


@dataclass(frozen=True)
class Parameter:
    """A parameter of a verb. kind: of its value, or of each value of a list."""

    name: str
    declared: Argument | Option
    kind: object
    is_list: bool

    @property
    def option_name(self) -> str:
        """As in a call, "--keep-names"; empty for an argument."""
        if isinstance(self.declared, Argument):
            return ""
        return self.declared.name or f"--{self.name.replace('_', '-')}"

    def value(self, text: str) -> object:
        """The value of a word. Raises NotPlainError."""
        if not text or text.startswith("-"):
            raise NotPlainError
        if self.kind is Path:
            return Path(text)
        if self.kind is str or (get_origin(self.kind) is Literal and text in get_args(self.kind)):
            return text
        if self.kind is int or self.kind is float:
            return self._number(text)
        raise NotPlainError

    def _number(self, text: str) -> float:
        kind = int if self.kind is int else float
        if not re.fullmatch(_NUMBER[kind], text, re.ASCII):
            raise NotPlainError
        number, declared = kind(text), self.declared
        if isinstance(declared, Option):
            low, high = declared.min, declared.max
            if (low is not None and number < low) or (high is not None and number > high):
                raise NotPlainError
        return number


class NotPlainError(Exception):
    """A call that typer parses."""


def parameters(verb: Verb) -> dict[str, Parameter]:
    """The declared parameters of a verb, by name."""
    hints = get_type_hints(verb, include_extras=True)
    return {name: _parameter(name, hint) for name, hint in hints.items() if name != "return"}


def _parameter(name: str, hint: object) -> Parameter:
    kind, declared = get_args(hint)
    if isinstance(kind, UnionType):
        kind = next(one for one in get_args(kind) if one is not NoneType)
    is_list = get_origin(kind) is list
    return Parameter(name, declared, get_args(kind)[0] if is_list else kind, is_list)


def plain_arguments(verb: Verb, words: Sequence[str]) -> dict[str, object] | None:
    """The arguments of a call by parameter, without the defaults; None if it is not plain.

    words: of the command line, after the verb.
    """
    # On Windows typer expands patterns; and a shell may ask it for completions.
    if os.name == "nt" or "_BONESEG_COMPLETE" in os.environ:
        return None
    known = parameters(verb)
    try:
        values = _parsed(known, words)
    except NotPlainError:
        return None
    required = set(known).difference(_with_defaults(verb))
    return values if required.issubset(values) else None


def _parsed(known: Mapping[str, Parameter], words: Sequence[str]) -> dict[str, object]:
    options = {one.option_name: one for one in known.values() if one.option_name}
    arguments = [one for one in known.values() if not one.option_name]
    values: dict[str, object] = {}
    rest: list[str] = []
    remaining = iter(words)
    for word in remaining:
        if not word.startswith("-"):
            rest.append(word)
            continue
        name, equals, text = word.partition("=")
        option = options.get(name)
        if option is None:
            raise NotPlainError
        if option.kind is bool and not equals:
            _add(values, option, True)
        else:
            _add(values, option, option.value(text if equals else next(remaining, "")))
    for argument in arguments[:1]:
        for word in rest:
            _add(values, argument, argument.value(word))
    if len(arguments) > 1 or (rest and not arguments):
        raise NotPlainError
    return values


def _add(values: dict[str, object], parameter: Parameter, value: object) -> None:
    if parameter.is_list:
        several = values.setdefault(parameter.name, [])
        assert isinstance(several, list)
        several.append(value)
    elif parameter.name in values:
        raise NotPlainError
    else:
        values[parameter.name] = value


def _with_defaults(verb: Verb) -> Sequence[str]:
    """The parameters that have a default: the last ones."""
    code, defaults = verb.__code__, verb.__defaults__ or ()
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount]
    return names[len(names) - len(defaults) :]
