"""Checked access to parsed JSON: a value of the expected type, or a ValueError."""

from __future__ import annotations


def as_object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def as_list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError("not a JSON list")
    return value


def as_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("not a JSON string")
    return value


def as_number(value: object) -> float:
    """A number, also one that is written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("not a number")
    return float(value)


def as_integer(value: object) -> int:
    """A number without its fraction."""
    return int(as_number(value))
