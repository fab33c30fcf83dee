"""What the verbs share: the options that several have, and how a document is printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

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


def print_json(document: Any) -> None:
    print(json.dumps(document, indent=2))
