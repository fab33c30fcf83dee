"""Pieces of Markdown: tables, code in cells, text without markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    return [line(heads), line(["---"] * len(heads)), *map(line, rows)]


def sentence(text: str | None) -> str:
    return " ".join((text or "").split())


def cell(text: str | None) -> str:
    return escaped(sentence(text)).rstrip(".")


def joined(docstring: str) -> str:
    return escaped(" ".join(docstring.split()))


def escaped(text: str) -> str:
    """Text whose underscores and asterisks are not markup."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(
        piece if piece.startswith("`") else re.sub(r"([*_<])", r"\\\1", piece) for piece in pieces
    )


def code(text: str) -> str:
    """Code in a table: within backticks, a bar would need a backslash, which would be shown."""
    return f"<code>{escape(text).replace('|', '&#124;')}</code>"


def listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def summary(documented: object) -> str:
    """The first line of a docstring."""
    return (documented.__doc__ or "").strip().partition("\n")[0].rstrip(".")
