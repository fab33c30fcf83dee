"""Options shared by several verbs, and JSON output."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from boneseg._util.console import say
from boneseg._util.logs import LogFormat
from boneseg._util.text import counted
from boneseg.cli.arguments import Argument, Option
from boneseg.errors import UsageError

if TYPE_CHECKING:
    from boneseg.dataset.open import Dataset

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
    Option(help="Model or run folder, or 'bundled' (default).", panel=MODEL),
]
Json = Annotated[
    bool,
    Option("--json", help="Print one JSON document on stdout.", panel=OUTPUT),
]
LogLines = Annotated[
    LogFormat,
    Option("--log-format", help="Format of log lines.", panel=OUTPUT),
]

PNG = "png"  # the format `mask`, as many first call it
FORMAT_NAMES = (  # a test compares them with masks.formats.FORMATS, which is slow to import
    "mask, overlay, probability, nrrd, nifti, dicom-seg, dicom-seg-fractional, labelme, yolo, "
    "coco, coco-polygons, cvat, label-studio, measurements, "
    "fragments"
)
Formats = Annotated[
    str,
    Option(
        "--format",
        help=f"Comma-separated formats: {FORMAT_NAMES}; {PNG} is another name of mask.",
        panel=OUTPUT,
    ),
]
WorkerCores = Annotated[
    int | None,
    Option("--worker-cores", help="Cores of each worker (default: 2).", panel=CLUSTER, min=1),
]
SMALLEST_OVERLAY = 16  # px
OverlaySize = Annotated[
    str,
    Option(
        "--overlay-size",
        help="Longest side of overlays in px, or full (the film's own size).",
        panel=OUTPUT,
    ),
]


def print_json(document: object) -> None:
    print(json.dumps(document, indent=2))


def closing_line(
    verb: str,
    done: int,
    films: int,
    folder: Path,
    words: str = "",
    *,
    unpaired: int = 0,
    unread: int = 0,
) -> str:
    """What a call comes to: how many films are done, how many failed, and where the output is.

    words: more about those that are done. unpaired: films without a mask. unread: files of no
    film that could not be read.
    """
    parts = [f"{verb} {done} of {counted(films, 'film')}" + (f": {words}" if words else "")]
    failed = films - done - unpaired
    parts += [f"{failed} failed"] if failed else []
    parts += [f"{unpaired} without a mask"] if unpaired else []
    parts += [f"{counted(unread, 'file')} could not be read"] if unread else []
    return "; ".join([*parts, f"see {folder}"])


def opened(
    data: Path | None,
    images: Path | None,
    masks: Path | None,
    labels: list[str] | None,
    keep_names: bool,
    *,
    named: bool = False,
    warns: bool = True,
) -> Dataset:
    """The dataset that the options of a verb name; `warns` of rows of its tables without a film."""
    from boneseg.dataset.open import open_dataset

    dataset = open_dataset(
        data, images=images, masks=masks, labels=labels or (), keep_names=keep_names, named=named
    )
    for remark in dataset.remarks if warns else ():
        say(f"warning: {remark}")
    return dataset


def say_if_nothing_to_resume(resume: bool, out: Path, records: Sequence[str]) -> None:
    """Say that a run starts from the beginning, as none of its records (patterns) is in `out`.

    Scripts may always give --resume, so it is no error; but --out may be mistyped.
    """
    if resume and not any(any(out.glob(pattern)) for pattern in records):
        say(f"nothing to resume in {out}; starting")


def check_without_cluster(options: Mapping[str, object]) -> None:
    """Raise UsageError for an option, by its name, that was given and only serves a cluster."""
    for option, value in options.items():
        if value is not None:
            raise UsageError(f"{option}: needs --cluster")


def refuse_other_ending(word: str, path: Path | None, ending: str) -> None:
    """Raise UsageError if the suffix of `path` differs from that of the format written."""
    if path is not None and path.suffix.lower() != ending:
        raise UsageError(
            f"{word} {path}: the file is written as {ending[1:].upper()}; use the suffix {ending}"
        )


def longest_side(words: str) -> int | None:
    """Parse --overlay-size: None is the film's own size. Raises UsageError."""
    if words == "full":
        return None
    if not words.isdecimal() or int(words) < SMALLEST_OVERLAY:
        raise UsageError(
            f"--overlay-size {words}: give full, or a number of px from {SMALLEST_OVERLAY}"
        )
    return int(words)


def chosen_formats(option: str, words: str) -> list[str]:
    """Parse a comma-separated list of formats.

    Raises UsageError for an unknown or empty one, ModuleNotFoundError where its library is missing.
    """
    from boneseg._util.extras import require
    from boneseg.masks.formats import FORMATS

    names = (name.strip() for name in words.split(",") if name.strip())
    wanted = list(dict.fromkeys("mask" if name == PNG else name for name in names))
    for name in wanted:
        if name not in FORMATS:
            raise UsageError(f"{option} {name}: unknown format; choose from {', '.join(FORMATS)}")
    if not wanted:
        raise UsageError(f"{option}: no format given; choose from {', '.join(FORMATS)}")
    for library in filter(None, (FORMATS[name].library for name in wanted)):
        require(library)
    return wanted
