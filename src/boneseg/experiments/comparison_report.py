"""The report of a recipe comparison: a table, and accuracy against training time.

write_compare_report(out / "report.html", comparison)
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from boneseg._util.drawing.charts import linear, scatter, spanning
from boneseg._util.drawing.style import STYLE
from boneseg._util.text import counted
from boneseg.evaluation.statistics import BOOTSTRAP_MINIMUM, format_p
from boneseg.training.report import HEAD, write_page

if TYPE_CHECKING:
    from boneseg.experiments.compare_result import Comparison, Row


def write_compare_report(path: Path, found: Comparison) -> None:
    """Write the report of a comparison atomically. Raises OutputError."""
    title = f"Recipes compared: {path.absolute().parent.name}"
    body = "\n".join(
        [
            f"<h1>{escape(title)}</h1>",
            _caveats(found),
            _table(found),
            _charts(found),
            _parts(found),
        ]
    )
    head = f"{HEAD}<title>{escape(title)}</title><style>{STYLE}</style></head>"
    write_page(path, f"{head}\n<body><main>\n{body}\n</main></body></html>\n")


def _caveats(found: Comparison) -> str:
    first = escape(found.rows[0].recipe)
    lines = [
        f"Every recipe was trained on the same folds from the same seed; each of the {found.films} "
        "films was predicted by the model that was not trained on it.",
        f"p is the p-value of the mean difference to {first} ({_test(found)}; two-sided, not "
        "corrected for multiple comparisons). It covers variation between films, not between "
        "seeds.",
        f"Time to match: training time to reach the best validation Dice of {first}, mean over "
        "folds.",
    ]
    lines += [
        f"{escape(row.recipe)}: {counted(row.failed_folds, 'failed fold')}, excluded from all rows."
        for row in found.rows
        if row.failed_folds
    ]
    return f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>"


def _test(found: Comparison) -> str:
    units = "patients" if found.units < found.films else "films"
    if found.units >= BOOTSTRAP_MINIMUM:
        return f"paired bootstrap over {units}"
    return f"sign-flip permutation over {units}, as there are too few for a bootstrap"


def _table(found: Comparison) -> str:
    heads = [
        "recipe",
        "Dice",
        "95 %",
        "p",
        "HD95, px",
        "p",
        "minutes",
        "time to match",
        "parameters",
    ]
    heads += ["restarts"]
    rows = "".join(_row(number, row) for number, row in enumerate(found.rows, start=1))
    head = "".join(f"<th>{name}</th>" for name in heads)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody>'
        "</table></div>"
    )


def _row(number: int, row: Row) -> str:
    low, high = row.dice_ci95
    reached = row.seconds_to_first
    cells = [
        f"{row.dice:.4f}",
        f"{low:.4f} – {high:.4f}",
        escape(format_p(row.p_dice)),
        f"{row.hd95_px:.2f}",
        escape(format_p(row.p_hd95)),
        f"{row.seconds / 60:.1f}",
        "never" if reached is None else f"{reached / 60:.1f} min",
        f"{row.parameters:,}",
        str(row.restarts),
    ]
    drawn = "".join(f"<td>{cell}</td>" for cell in cells)
    return f"<tr><th>{number} {escape(row.recipe)}</th>{drawn}</tr>"


def _charts(found: Comparison) -> str:
    minutes = [row.seconds / 60 for row in found.rows]
    numbers = [str(number) for number in range(1, len(found.rows) + 1)]
    across = linear(max(minutes))
    dice, distance = [r.dice for r in found.rows], [r.hd95_px for r in found.rows]
    figures = {
        "Dice against training time per fold": scatter(
            "Dice against time",
            across,
            spanning(dice),
            list(zip(minutes, dice, strict=True)),
            unit="minutes",
            names=numbers,
        ),
        "HD95 against training time per fold": scatter(
            "HD95 against time",
            across,
            linear(max(distance)),
            list(zip(minutes, distance, strict=True)),
            unit="minutes",
            names=numbers,
        ),
    }
    drawn = (f"<figure><figcaption>{a}</figcaption>{b}</figure>" for a, b in figures.items())
    return f'<h2>Charts</h2><div class="charts">{"".join(drawn)}</div>'


def _parts(found: Comparison) -> str:
    parts = sorted({part for row in found.rows for part in row.parts})
    if not parts:
        return ""
    head = "".join(f"<th>{escape(part)}</th>" for part in parts)
    rows = "".join(
        f"<tr><th>{escape(row.recipe)}</th>"
        + "".join(f"<td>{row.parts[part]:.4f}</td>" for part in parts)
        + "</tr>"
        for row in found.rows
    )
    return (
        f'<h2>Dice by body part</h2><div class="scroll"><table><thead><tr><th></th>{head}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )
