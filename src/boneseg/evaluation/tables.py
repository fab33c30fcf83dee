"""Tables of scores, for a terminal, a page and a spreadsheet program.

print(metrics_text(summary))
write_metrics_csv(summary, Path("metrics.csv"))  # a row a metric
write_cases_csv(summary, Path("cases.csv"))      # a row a film
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from boneseg._util.drawing.html import table
from boneseg._util.files import write_table
from boneseg._util.text import counted, listed
from boneseg.evaluation.metrics import METRICS, columns
from boneseg.evaluation.scores import Summary

METRIC_HEADS = ("metric", "mean", "std", "95 % interval of the mean")


def films_text(scored: int, asked: int, unpaired: int, without: str = "a mask") -> str:
    """How many films of a dataset have scores, and why the others have none, in one line.

    >>> films_text(10, 13, 2)
    '10 of 13 films; 1 failed; 2 without a mask'
    """
    failed = asked - scored - unpaired
    notes = [f"{failed} failed"] if failed else []
    notes += [f"{unpaired} without {without}"] if unpaired else []
    return "; ".join([f"{scored} of {counted(asked, 'film')}", *notes])


def metrics_text(summary: Summary) -> str:
    """Format mean, standard deviation and 95 % interval of each metric, for a terminal."""
    rows = [METRIC_HEADS, *_metric_rows(summary)]
    width = max(len(name) for name, *_ in rows)
    lines = [f"{name:<{width}} {a:>8} {b:>8}   {c}" for name, a, b, c in rows]
    return "\n".join([*lines, *_without_mm(summary)])


def metrics_table(summary: Summary) -> str:
    """The HTML of the table of `metrics_text`."""
    rows = [(escape(name), *cells) for name, *cells in _metric_rows(summary)]
    return table(METRIC_HEADS, rows) + "".join(f"<p>{escape(n)}</p>" for n in _without_mm(summary))


def _without_mm(summary: Summary) -> list[str]:
    """Why there is no mean in mm, where it is known of some films and not of all."""
    lacking = [case.name for case in summary.cases if None in case.scores.values.values()]
    if not 0 < len(lacking) < len(summary.cases):
        return []
    return [
        f"mm left out: {listed(lacking)} {'has' if len(lacking) == 1 else 'have'} no pixel spacing"
    ]


def _metric_rows(summary: Summary) -> list[tuple[str, str, str, str]]:
    """Title, mean, standard deviation and 95 % interval of each metric, as text."""
    several, rows = len(summary.cases) > 1, []
    for name, mean in summary.mean.items():
        digits = METRICS[name].digits
        low, high = (f"{end:.{digits}f}" for end in summary.ci95[name])
        std = f"{summary.std[name]:.{digits}f}" if several else "–"
        interval = f"{low} to {high}" if several else "one film"
        rows.append((METRICS[name].title, f"{mean:.{digits}f}", std, interval))
    return rows


def summaries_table(rows: Sequence[tuple[str, Summary]]) -> str:
    """Return the HTML of a table with one row per named summary."""
    heads = ("", "films", "Dice", "95 %", "std", "HD95, px", "IoU")
    cells = [
        (
            escape(name),
            str(len(found.cases)),
            f"{found.mean['dice']:.4f}",
            f"{found.ci95['dice'][0]:.4f} to {found.ci95['dice'][1]:.4f}"
            if len(found.cases) > 1
            else "one film",
            f"{found.std['dice']:.4f}",
            f"{found.mean['hd95_px']:.2f}",
            f"{found.mean['iou']:.4f}",
        )
        for name, found in rows
    ]
    return table(heads, cells)


def write_metrics_csv(summary: Summary, path: Path) -> None:
    """Write one row per metric: mean, sample standard deviation, ends of the 95 % interval, films.

    Raises OutputError where the file cannot be written.
    """
    heads = ["metric", "mean", "std", "ci95_low", "ci95_high", "films"]
    rows = (
        [name, mean, summary.std[name], *summary.ci95[name], len(summary.cases)]
        for name, mean in summary.mean.items()
    )
    write_table(path, heads, rows)


def write_cases_csv(summary: Summary, path: Path) -> None:
    """Write one row per case: its name and every score; unknown mm values are empty.

    Raises OutputError where the file cannot be written.
    """
    heads = ["name", *columns(), "empty_prediction", "empty_truth"]
    rows = (case.to_json() for case in summary.cases)
    write_table(path, heads, ([row[name] for name in heads] for row in rows))
