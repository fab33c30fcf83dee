"""Read JSON objects into dataclasses whose fields have types.

    @dataclass(frozen=True)
    class Point:
        x: float
        label: str | None = None

    from_json(Point, {"x": 3, "colour": "red"})      # Point(x=3.0, label=None)

For what is read at each start of the command line: importing pydantic takes longer than segmenting
a film. Other documents are pydantic models (`documents.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def from_json(kind: type[T], content: object) -> T:
    """An instance of a dataclass with the values of a JSON object; unknown keys are ignored.

    Fields are str, int, float, bool, None, object (any JSON), dataclasses, `dict[str, X]`,
    `tuple[X, ...]` and unions of them. Raises ValueError where a field without a default is
    missing, or a value has another type.
    """
    if not isinstance(content, Mapping) or not is_dataclass(kind):
        raise ValueError("not a JSON object")
    hints = _hints(kind)
    known = [field.name for field in fields(kind) if field.name in content]
    values = {name: _value(hints[name], content[name]) for name in known}
    try:
        return kind(**values)
    except TypeError:
        raise ValueError("a field is missing") from None


@cache
def _hints(kind: type) -> Mapping[str, object]:
    """The types of the fields: annotations are strings, and evaluating them takes long."""
    return get_type_hints(kind)


def _value(hint: object, value: object) -> object:
    """A value of the type `hint`. Raises ValueError where it is of another."""
    if hint is object or (hint in (str, int, bool, NoneType) and type(value) is hint):
        return value
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ValueError("a number is too large") from None
    if isinstance(hint, UnionType):
        return _of_union(get_args(hint), value)
    if get_origin(hint) is dict and isinstance(value, Mapping):
        return {str(key): _value(get_args(hint)[1], one) for key, one in value.items()}
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(_value(get_args(hint)[0], one) for one in value)
    if isinstance(hint, type) and is_dataclass(hint):
        return from_json(hint, value)
    raise ValueError("a value has another type than its field")


def _of_union(hints: tuple[object, ...], value: object) -> object:
    for hint in hints:
        try:
            return _value(hint, value)
        except ValueError:
            continue
    raise ValueError("a value has another type than its field")
