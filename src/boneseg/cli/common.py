"""What the verbs share: the options that several have, and how a document is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from boneseg._util.logs import LogFormat
from boneseg.errors import UsageError

Data = Annotated[Path | None, typer.Argument(help="A folder with images/ and masks/;")]
Images = Annotated[Path | None, typer.Option(help="or a folder of films")]
Masks = Annotated[Path | None, typer.Option(help="and one of their masks, or a file of all.")]
Labels = Annotated[
    list[str] | None, typer.Option("--label", help="What is bone in annotations; else all is.")
]
KeepNames = Annotated[
    bool, typer.Option("--keep-names", help="Name films even after their patients.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
LogLines = Annotated[
    LogFormat, typer.Option("--log-format", help="Log lines of text, or JSON documents.")
]


def print_json(document: Any) -> None:
    print(json.dumps(document, indent=2))


def refuse_other_ending(word: str, path: Path | None, ending: str) -> None:
    """Raises UsageError for a name that says another format than the one that is written."""
    if path is not None and path.suffix.lower() != ending:
        raise UsageError(f"{word} {path}: is written as {ending[1:].upper()}; end it in {ending}")
