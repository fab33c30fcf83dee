"""The history of a run: one row per validation check."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from boneseg._util.drawing.charts import curve, linear
from boneseg._util.drawing.html import titled
from boneseg._util.files import read_bytes, write_table


@dataclass(frozen=True)
class Check:
    """One validation check: a row of history.csv."""

    attempt: int
    epoch: float
    step: int
    seconds: float
    done: float  # fraction of the run, in [0, 1]
    learning_rate: float
    loss: float
    dice: float
    note: str = ""


def write_history(history: Sequence[Check], path: Path) -> None:
    """Write history.csv, one row per check. Raises OutputError."""
    columns = [column.name for column in fields(Check)]
    write_table(path, columns, ([getattr(row, name) for name in columns] for row in history))


def read_history(path: Path) -> list[Check]:
    """Read the checks of a history.csv; empty where it is missing or damaged."""
    kinds = {"int": int, "float": float, "str": str}
    columns = {column.name: kinds[str(column.type)] for column in fields(Check)}
    try:
        with io.StringIO(read_bytes(path).decode("utf-8"), newline="") as file:
            rows = list(csv.DictReader(file))
        return [Check(**{name: kind(row[name]) for name, kind in columns.items()}) for row in rows]
    except (OSError, KeyError, ValueError, TypeError, csv.Error):
        return []


def read_curve(path: Path) -> list[tuple[float, float]]:
    """Read (seconds, validation Dice) of each check in a history.csv."""
    return [(check.seconds, check.dice) for check in read_history(path)]


def history_figures(history: Sequence[Check]) -> str:
    """Return the HTML of two charts: validation Dice and training loss over time."""
    if not history:
        return ""
    across = linear(history[-1].seconds)
    dice = [[(row.seconds, row.dice) for row in history]]
    loss = [[(row.seconds, row.loss) for row in history if math.isfinite(row.loss)]]
    top = linear(max((height for _, height in loss[0]), default=1.0))
    return titled(
        "Validation Dice", curve("Dice", across, linear(1), dice, unit="seconds")
    ) + titled("Training loss", curve("Loss", across, top, loss, unit="seconds"))
