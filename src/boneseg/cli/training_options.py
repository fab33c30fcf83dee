"""Options of the verbs for training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boneseg.cli.common import ADVANCED, MODEL, OUTPUT, TRAINING

RecipeName = Annotated[
    str, typer.Option("--recipe", help="Built-in recipe or TOML file.", rich_help_panel=TRAINING)
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="section.key=value",
        help="Recipe setting to override; repeatable.",
        rich_help_panel=TRAINING,
    ),
]
Minutes = Annotated[
    float | None, typer.Option(help="Training time in minutes.", rich_help_panel=TRAINING)
]
Epochs = Annotated[
    int | None,
    typer.Option(help="Number of epochs, instead of --minutes.", rich_help_panel=TRAINING),
]
FoldMinutes = Annotated[
    float | None,
    typer.Option("--minutes", help="Training time per fold, minutes.", rich_help_panel=TRAINING),
]
TrialMinutes = Annotated[
    float | None,
    typer.Option("--minutes", help="Training time per trial, minutes.", rich_help_panel=TRAINING),
]
Folds = Annotated[int, typer.Option(help="Number of folds.", rich_help_panel=TRAINING)]
Trials = Annotated[int, typer.Option(help="Number of trials.", rich_help_panel=TRAINING)]
SearchSpace = Annotated[
    Path | None,
    typer.Option(help="Search space, a TOML file (default: built in).", rich_help_panel=TRAINING),
]
Init = Annotated[
    Path | None,
    typer.Option(
        help="Model for a warm start (or 'bundled'); its architecture is kept.",
        rich_help_panel=MODEL,
    ),
]
HeldOutInit = Annotated[
    Path | None,
    typer.Option(
        "--init",
        help="Model trained on other films, for a warm start; its architecture is kept.",
        rich_help_panel=MODEL,
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        help="Weights of the model: float, or int8 if as accurate on validation films.",
        rich_help_panel=MODEL,
    ),
]
ParallelFolds = Annotated[
    int,
    typer.Option("--parallel", help="Folds trained in parallel.", rich_help_panel=ADVANCED),
]
ParallelTrials = Annotated[
    int, typer.Option("--parallel", help="Trials run in parallel.", rich_help_panel=ADVANCED)
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Resume an interrupted run.", rich_help_panel=ADVANCED),
]
RunFolder = Annotated[Path, typer.Option("--out", help="Run folder.", rich_help_panel=OUTPUT)]
RunsFolder = Annotated[
    Path, typer.Option("--out", help="Folder of all runs.", rich_help_panel=OUTPUT)
]
TrialsFolder = Annotated[
    Path, typer.Option("--out", help="Folder of all trials.", rich_help_panel=OUTPUT)
]
RecipeNames = Annotated[
    list[str],
    typer.Argument(
        metavar="[DATA] RECIPE...",
        help="Dataset folder (omit with --images), then two or more recipes.",
    ),
]
