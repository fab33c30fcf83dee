"""Text helpers for messages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

SHOWN = 5  # names listed before "and N more"
_CONTROL = "\0-\x1f\x7f-\x9f\u2028\u2029"
# They reorder what follows, so that a name can look like another (Unicode UAX #9).
_BIDIRECTIONAL = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"


def counted(number: int, noun: str) -> str:
    """
    >>> counted(1, "film"), counted(3, "film")
    ('1 film', '3 films')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def printable(name: str) -> str:
    """A file name valid in XML: bytes that are not UTF-8 as \\udcXX, controls as \\xXX."""
    text = name.encode(errors="backslashreplace").decode()
    return _escaped("[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", text)


def one_line(message: str) -> str:
    """A message with line breaks and characters that control a terminal escaped."""
    return _escaped(f"[{_CONTROL}{_BIDIRECTIONAL}]", message)


def as_compared(name: str) -> str:
    """A name case-folded and in Unicode NFC, for comparison.

    Some file systems and archives store decomposed accents; keyboards produce composed ones.
    """
    return unicodedata.normalize("NFC", name).casefold()


def lines(text: str) -> str:
    """A text of several lines with all other characters that control a terminal escaped."""
    return "\n".join(map(one_line, text.split("\n")))


def _escaped(characters: str, text: str) -> str:
    """Text with the characters of a regular expression as \\xXX or \\uXXXX."""

    def escape(found: re.Match[str]) -> str:
        code = ord(found[0])
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"

    return re.sub(characters, escape, text)


def listed(names: Sequence[str]) -> str:
    """
    >>> listed(["a", "b", "c", "d", "e", "f", "g"])
    'a, b, c, d, e and 2 more'
    """
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


def nearest(word: str, known: Sequence[str]) -> str:
    """The hint " (did you mean …?)", or "" if no known name is close.

    The last part of a dotted name is compared as well.
    """
    import difflib  # only messages need it

    found = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if not found:
        bare = {name.rpartition(".")[2]: name for name in reversed(known)}
        last = word.rpartition(".")[2]
        found = [bare[match] for match in difflib.get_close_matches(last, bare, n=1, cutoff=0.6)]
    return f" (did you mean {found[0]!r}?)" if found else ""
