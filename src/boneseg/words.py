"""Words that messages share."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 5  # names in a list, before it says how many more there are


def counted(number: int, noun: str) -> str:
    """
    >>> counted(1, "film"), counted(3, "film")
    ('1 film', '3 films')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def printable(name: str) -> str:
    """A file's name whose bytes are no UTF-8, with these as \\udcXX: documents hold text alone."""
    return name.encode(errors="backslashreplace").decode()


def listed(names: Sequence[str]) -> str:
    """
    >>> listed(["a", "b", "c", "d", "e", "f", "g"])
    'a, b, c, d, e and 2 more'
    """
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
