"""What to give instead of a value that pydantic refuses, for one line of a message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

LONGEST = 40  # characters of a value quoted in a message

_WANTED = {
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "tuple_type": "a list in brackets",
    "list_type": "a list in brackets",
    "model_type": "an object in braces",
    "model_attributes_type": "an object in braces",
    "missing": "a value",
    "string_pattern_mismatch": "a name in lower-case letters",
}
_LIMITS = {  # by type: its name in the context, and the words around it
    "greater_than": ("gt", "a number above {}"),
    "greater_than_equal": ("ge", "a number of at least {}"),
    "less_than": ("lt", "a number below {}"),
    "less_than_equal": ("le", "a number of at most {}"),
    "too_short": ("min_length", "a list of at least {} values"),
    "too_long": ("max_length", "a list of at most {} values"),
    "string_too_long": ("max_length", "at most {} characters"),
}


def advice(error: ErrorDetails) -> str:
    """Say what to give instead of a value. error: an item of `ValidationError.errors()`.

    >>> advice({"type": "float_parsing", "loc": (), "msg": "...", "input": "0,143"})
    'give a number, such as 0.143'
    """
    kind, context = error["type"], error.get("ctx", {})
    if kind in _LIMITS:
        name, words = _LIMITS[kind]
        return f"give {words.format(_number(context[name]))}"
    if kind in ("literal_error", "enum"):
        return f"give {context['expected']}"
    if kind == "extra_forbidden":
        return "leave it out"
    if kind in _WANTED:
        return f"give {_WANTED[kind]}{_example(kind, error['input'])}"
    return error["msg"].removeprefix("Value error, ").lower()


def quoted(value: object) -> str | None:
    """A value as it was given, shortened; None for what is not quoted, such as a list."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 100:  # Python may refuse to write it
        return None
    if not isinstance(value, str | int | float):
        return None
    text = str(value)
    if not text:
        return "''"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _number(limit: float) -> str:
    return str(limit) if isinstance(limit, int) else f"{limit:g}"


def _example(kind: str, value: object) -> str:
    """The value in the form that is wanted, where that is clear."""
    text = value.strip() if isinstance(value, str) else ""
    if kind == "float_parsing" and re.fullmatch(r"[+-]?\d{1,15},\d{1,15}", text, re.ASCII):
        return f", such as {text.replace(',', '.')}"
    if kind == "tuple_type" and re.fullmatch(r"\d{1,9}( ?, ?\d{1,9}){1,9}", text, re.ASCII):
        return f", such as [{text}]"
    return ""
