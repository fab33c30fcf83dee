"""Options shared by several verbs, and JSON output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from boneseg._util.logs import LogFormat
from boneseg.cli.arguments import Argument, Option
from boneseg.errors import UsageError

# Panels of --help.
INPUT, OUTPUT, MODEL, TRAINING = "Input", "Output", "Model", "Training"
SERVICE, ADVANCED, CLUSTER = "Service", "Advanced", "Cluster"

Data = Annotated[
    Path | None, Argument(help="Dataset folder with images/ and masks/; or use --images.")
]
Images = Annotated[Path | None, Option(help="Folder of films, instead of DATA.", panel=INPUT)]
Masks = Annotated[
    Path | None,
    Option(help="Folder of masks, or one annotation file.", panel=INPUT),
]
Labels = Annotated[
    list[str] | None,
    Option(
        "--label",
        help="Annotation label to treat as bone; repeatable (default: all labels).",
        panel=INPUT,
    ),
]
KeepNames = Annotated[
    bool,
    Option(
        "--keep-names",
        help="Keep file names that contain patient identifiers (default: replaced by a hash).",
        panel=OUTPUT,
    ),
]
Model = Annotated[
    Path | None,
    Option(help="Model or run folder (default: bundled model).", panel=MODEL),
]
Json = Annotated[
    bool,
    Option("--json", help="Print one JSON document on stdout.", panel=OUTPUT),
]
LogLines = Annotated[
    LogFormat,
    Option("--log-format", help="Format of log lines.", panel=OUTPUT),
]


def print_json(document: object) -> None:
    print(json.dumps(document, indent=2))


def refuse_other_ending(word: str, path: Path | None, ending: str) -> None:
    """Raise UsageError if the suffix of `path` differs from that of the format written."""
    if path is not None and path.suffix.lower() != ending:
        raise UsageError(
            f"{word} {path}: the file is written as {ending[1:].upper()}; use the suffix {ending}"
        )
