"""Options of the verbs for training, and the folder of their runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from boneseg._util.files import RUNS
from boneseg._util.lock import sole_writer
from boneseg.cli.arguments import Argument, Option
from boneseg.cli.common import (
    ADVANCED,
    CLUSTER,
    MODEL,
    OUTPUT,
    TRAINING,
    say_if_nothing_to_resume,
)
from boneseg.errors import UsageError

DEFAULT_EPOCHS = 100  # a test compares it with the recipe, which is slow to import
COMPARED = tuple(f"*/{record}" for record in RUNS)  # in the folder of a comparison

RecipeName = Annotated[
    str, Option("--recipe", help="Built-in recipe or TOML file.", panel=TRAINING)
]
Settings = Annotated[
    list[str] | None,
    Option(
        "--set",
        metavar="section.key=value",
        help="Recipe setting to override; repeatable.",
        panel=TRAINING,
    ),
]
Minutes = Annotated[
    float | None,
    Option(help="Training time in minutes, instead of --epochs.", panel=TRAINING),
]
Epochs = Annotated[
    int | None,
    Option(
        help="Number of epochs (default: the recipe's number of epochs or minutes; "
        f"{DEFAULT_EPOCHS} epochs in the default recipe).",
        panel=TRAINING,
    ),
]
FoldMinutes = Annotated[
    float | None,
    Option(
        "--minutes", help="Training time per fold in minutes, instead of --epochs.", panel=TRAINING
    ),
]
TrialMinutes = Annotated[
    float | None,
    Option(
        "--minutes", help="Training time per trial in minutes, instead of --epochs.", panel=TRAINING
    ),
]
Folds = Annotated[int, Option(help="Number of folds.", panel=TRAINING)]
Trials = Annotated[int, Option(help="Number of trials.", panel=TRAINING)]
SearchSpace = Annotated[
    Path | None,
    Option(help="Search space, a TOML file (default: built in).", panel=TRAINING),
]
Init = Annotated[
    Path | None,
    Option(
        help="Model for a warm start (or 'bundled'); its architecture is kept.",
        panel=MODEL,
    ),
]
HeldOutInit = Annotated[
    Path | None,
    Option(
        "--init",
        help="Model trained on other films, for a warm start (or 'bundled'); its architecture is "
        "kept.",
        panel=MODEL,
    ),
]
Precision = Annotated[
    str,
    Option(
        help="Weights of the model: float, or int8 if as accurate on validation films.",
        panel=MODEL,
    ),
]
ParallelFolds = Annotated[
    int,
    Option("--parallel", help="Folds trained in parallel.", panel=ADVANCED),
]
ParallelTrials = Annotated[
    int, Option("--parallel", help="Trials run in parallel.", panel=ADVANCED)
]
Devices = Annotated[
    int | None,
    Option(
        help="GPUs of this machine to train on, or shares of its CPU cores (default: 1).",
        panel=ADVANCED,
    ),
]
Nodes = Annotated[
    int | None,
    Option(help="Machines that run this command together (default: 1).", panel=ADVANCED),
]
TaskCluster = Annotated[
    str | None,
    Option(
        "--cluster",
        help="Train on a Ray cluster: local, or HOST:PORT.",
        panel=CLUSTER,
        metavar="ADDRESS",
    ),
]
Checkpoints = Annotated[
    str | None,
    Option(
        help="Folder or URL that all machines share, for checkpoints (default: --out).",
        panel=CLUSTER,
        metavar="URL",
    ),
]
Storage = Annotated[
    str | None,
    Option(
        help="PostgreSQL database of the trials, which machines share (default: a file in --out).",
        panel=CLUSTER,
        metavar="URL",
    ),
]
Resume = Annotated[
    bool,
    Option("--resume", help="Resume an interrupted run.", panel=ADVANCED),
]
RunFolder = Annotated[Path, Option("--out", help="Run folder.", panel=OUTPUT)]
RunsFolder = Annotated[Path, Option("--out", help="Folder of all runs.", panel=OUTPUT)]
TrialsFolder = Annotated[Path, Option("--out", help="Folder of all trials.", panel=OUTPUT)]
RecipeNames = Annotated[
    list[str],
    Argument(
        metavar="[DATA] RECIPE...",
        help="Dataset folder (omit with --images), then two or more recipes.",
    ),
]


def asked_settings(
    verb: str, settings: list[str] | None, minutes: float | None, epochs: int | None
) -> list[str]:
    """The settings of --set, --minutes and --epochs. Raises UsageError."""
    if minutes is not None and epochs is not None:
        raise UsageError(f"{verb}: give either --minutes or --epochs")
    if not (minutes is None or 0 < minutes < math.inf) or not (epochs is None or epochs > 0):
        raise UsageError(f"{verb}: give --minutes or --epochs above 0")
    asked = list(settings or [])
    asked += [f"run.minutes={minutes}"] if minutes is not None else []
    asked += [f"run.epochs={epochs}"] if epochs is not None else []
    return asked


@contextmanager
def run_folder(out: Path, resume: bool, records: Sequence[str] = RUNS) -> Iterator[None]:
    """Lock the folder of a run, and say if there is none to resume. records: as patterns."""
    with sole_writer(out):
        say_if_nothing_to_resume(resume, out, (*records, "model.json", "bundle/model.json"))
        yield
