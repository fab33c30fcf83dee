"""The report of a training run: a self-contained HTML page without scripts.

write_report(out / "report.html", run, card, summary, masks)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from boneseg._util.drawing.charts import Axis, curve, histogram, linear, logarithmic
from boneseg._util.drawing.style import STYLE
from boneseg._util.drawing.thumbnails import FALSE_NEGATIVE, FALSE_POSITIVE, thumbnails
from boneseg._util.files import whole_file
from boneseg._util.text import counted
from boneseg.dataset.fingerprint import is_among
from boneseg.evaluation.metrics import METRICS, columns
from boneseg.evaluation.scores import by_part
from boneseg.evaluation.statistics import BOOTSTRAP_MINIMUM, sampling_units

if TYPE_CHECKING:
    from boneseg.bundle.card import Card
    from boneseg.evaluation.scores import CaseScores, Summary
    from boneseg.training.history import Check
    from boneseg.training.run import TrainedRun

WORST = 10  # films shown

# The content security policy blocks all loading, also by markup in file names.
HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">"""


def write_report(
    path: Path,
    run: TrainedRun,
    card: Card,
    summary: Summary,
    masks: Sequence[NDArray[np.bool_]],
) -> None:
    """Write the report of a run atomically.

    summary, masks: scores and predictions (bool H x W, on the films' own grids) of
    `run.validation`, in the same order. Raises OutputError.
    """
    cases = zip(summary.cases, run.validation, masks, strict=True)
    ranked = sorted(cases, key=lambda one: (one[0].scores.dice, -one[0].scores.hd95_px))
    title = f"Training run {path.absolute().parent.name}"
    sections = [
        f"<h1>{escape(title)}</h1>",
        _headline(run, card, summary),
        _caveats(run, card, summary),
        _charts(run, [case.scores.dice for case in summary.cases]),
        f"<h2>{_worst_title(len(ranked))}</h2>{legend()}",
        *(
            case_strip(scored, thumbnails(film.radiograph.pixels, film.mask, mask))
            for scored, film, mask in ranked[:WORST]
        ),
        _parts(by_part(summary, {film.case.name: film.case.part for film in run.validation})),
        case_table([scored for scored, _, _ in ranked]),
        _origin(run, card),
    ]
    head = f"{HEAD}<title>{escape(title)}</title><style>{STYLE}</style></head>"
    body = "\n".join(sections)
    write_page(path, f"{head}\n<body><main>\n{body}\n</main></body></html>\n")


def _headline(run: TrainedRun, card: Card, summary: Summary) -> str:
    distance = "hd95_mm" if "hd95_mm" in summary.mean else "hd95_px"
    seconds = run.history[-1].seconds if run.history else 0.0
    films = len(summary.cases)
    tiles = [
        ("Dice", f"{summary.mean['dice']:.4f}", _interval(summary, "dice", 4)),
        (
            "HD95",
            f"{summary.mean[distance]:.2f} {distance[-2:]}",
            _interval(summary, distance, 2),
        ),
        ("Films", f"{len(run.training)} + {films}", "training + validation"),
        ("Time", f"{seconds / 60:.1f} min", counted(len(run.history), "check")),
        ("Restarts", str(run.restarts), "after a collapse"),
        ("Threshold", f"{card.threshold:g}", "chosen on the validation films"),
    ]
    drawn = (f"<div><dt>{a}</dt><dd>{b}</dd><dd>{c}</dd></div>" for a, b, c in tiles)
    return f'<dl class="tiles">{"".join(drawn)}</dl>'


def _units(summary: Summary) -> tuple[int, str]:
    return sampling_units([case.group for case in summary.cases])


def _interval(summary: Summary, metric: str, digits: int) -> str:
    count, unit = _units(summary)
    if count < 2:
        return f"one {unit}: no interval"
    low, high = summary.ci95[metric]
    return f"95 % {low:.{digits}f} to {high:.{digits}f}"


def _caveats(run: TrainedRun, card: Card, summary: Summary) -> str:
    """The limitations of the figures."""
    films = counted(len(run.validation), "film")
    count, unit = _units(summary)
    grouped = any(film.case.group is not None for film in (*run.training, *run.validation))
    lines = [
        f"The figures are means over the {films} held out for validation. The model was not "
        "trained on them, but the best weights and the threshold of "
        f"{card.threshold:g} were chosen on them, so the figures are optimistic: use "
        "<code>boneseg evaluate</code> on unseen films.",
        "All films of a patient are on one side of the split, by groups.csv."
        if grouped
        else "Films are not grouped by patient (no groups.csv), so films of one patient may be on "
        "both sides of the split, which also makes the figures optimistic.",
    ]
    known = sum(is_among(film.radiograph, run.seen_before) for film in run.validation)
    if known:
        lines.append(
            f"The warm-start model was trained or selected on {known} of these, "
            "which also makes the figures optimistic."
        )
    if 1 < count < BOOTSTRAP_MINIMUM:
        lines.append(f"With only {count} {unit}s, the true 95 % intervals are wider than stated.")
    if summary.empty_predictions:
        lines.append(
            f"No bone was found in {counted(summary.empty_predictions, 'film')} with bone."
        )
    lines += [
        f"Restart after {row.seconds:.0f} s: {escape(row.note)}." for row in run.history if row.note
    ]
    lines.append("This page shows films: share it only as you would the films themselves.")
    return f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>"


def _charts(run: TrainedRun, dice: Sequence[float]) -> str:
    seconds = max((row.seconds for row in run.history), default=1.0)
    scale, unit = (60.0, "minutes") if seconds >= 120 else (1.0, "seconds")
    across = linear(seconds / scale)
    attempts = [
        [row for row in run.history if row.attempt == attempt]
        for attempt in sorted({row.attempt for row in run.history})
    ]
    marks = [(at / scale, f"restart {attempt}") for at, attempt in _restarts(run.history)]
    ends = [row for row in run.history if row.dice == run.best_dice]
    best = (ends[0].seconds / scale, ends[0].dice) if ends else None

    def drawn(title: str, name: str, up: Axis, best: tuple[float, float] | None = None) -> str:
        lines = [[(row.seconds / scale, getattr(row, name)) for row in rows] for rows in attempts]
        chart = curve(title, across, up, lines, unit=unit, marks=marks, best=best)
        return f"<figure><figcaption>{title}</figcaption>{chart}</figure>"

    rates = linear(max((row.learning_rate for row in run.history), default=1.0))
    figures = [
        drawn("Validation Dice at working size, threshold 0.5; best circled", "dice", _DICE, best),
        drawn(
            "Training loss (log scale)",
            "loss",
            logarithmic([row.loss for row in run.history]),
        ),
        "<figure><figcaption>Films by Dice</figcaption>"
        f"{histogram('Films by Dice', dice, unit='Dice')}</figure>",
        drawn("Learning rate", "learning_rate", rates),
    ]
    return f'<h2>Training curves</h2><div class="charts">{"".join(figures)}</div>'


_DICE = linear(1)


def _restarts(history: Sequence[Check]) -> list[tuple[float, int]]:
    """(seconds, attempt) at the start of each attempt after the first that has a check."""
    found, at, attempt = [], 0.0, 0
    for row in history:
        if row.attempt != attempt:
            found.append((at, row.attempt))
        at, attempt = row.seconds, row.attempt
    return found


def _parts(parts: Mapping[str, Summary]) -> str:
    """A row per body part; empty where none is known."""
    if not parts:
        return ""
    rows = "".join(
        f"<tr><th>{escape(part)}</th><td>{len(found.cases)}</td><td>{found.mean['dice']:.4f}</td>"
        f"<td>{_interval(found, 'dice', 4)}</td><td>{found.mean['hd95_px']:.2f}</td></tr>"
        for part, found in parts.items()
    )
    return (
        '<h2>By body part</h2><div class="scroll"><table><thead><tr><th></th><th>films</th>'
        "<th>Dice</th><th>95 %</th><th>HD95, px</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _worst_title(count: int) -> str:
    return f"The {WORST} worst of {count} films" if count > WORST else "Films, worst first"


def legend() -> str:
    """The colour legend of the error picture."""
    swatch = '<i style="background:rgb{}"></i>'
    return (
        '<p class="legend">In the error picture: '
        f"{swatch.format(FALSE_POSITIVE)} false positive "
        f"{swatch.format(FALSE_NEGATIVE)} false negative</p>"
    )


def case_strip(case: CaseScores, pictures: dict[str, str]) -> str:
    """A film's scores and pictures."""
    shown = "".join(
        f'<span><img src="{uri}" alt="{name}">{name}</span>' for name, uri in pictures.items()
    )
    figures = f"Dice {case.scores.dice:.4f}, HD95 {case.scores.hd95_px:.1f} px"
    return (
        f'<figure class="case"><figcaption><b>{_name(case)}</b> {figures}</figcaption>'
        f'<div class="strip">{shown}</div></figure>'
    )


def _name(case: CaseScores) -> str:
    """A film's name, escaped and isolated against bidirectional control characters."""
    return f"<bdi>{escape(case.name)}</bdi>"


def case_table(cases: Sequence[CaseScores]) -> str:
    """All scores of all films, in the given order."""
    values = [case.scores.values for case in cases]
    shown = {
        name: METRICS[name] for name in columns() if any(one[name] is not None for one in values)
    }
    rows = []
    for case in cases:
        cells = (_number(case.scores.values[name], one.digits) for name, one in shown.items())
        rows.append(f"<tr><th>{_name(case)}</th>{''.join(f'<td>{c}</td>' for c in cells)}</tr>")
    heads = "".join(f"<th>{escape(metric.title)}</th>" for metric in shown.values())
    explained = {metric.label: metric.description for metric in shown.values()}
    legend = "".join(
        f"<li>{escape(label)}: {escape(text)}</li>" for label, text in explained.items()
    )
    return (
        '<h2>All films, worst first</h2><div class="scroll"><table>'
        f"<thead><tr><th>film</th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        f"<ul>{legend}</ul>"
    )


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _origin(run: TrainedRun, card: Card) -> str:
    """Network, data and software versions of the model."""
    weights = sum(parameter.numel() for parameter in run.network.parameters())
    made_with = ", ".join(f"{name} {version}" for name, version in card.versions.items())
    rows = {
        "Network": f"{card.network.architecture}, {weights:,} parameters",
        "Working size": f"{card.height} × {card.width} px (height × width)",
        "Data fingerprint": f"<code>{escape(run.fingerprint)}</code>",
        "Made with": escape(made_with),
        "Licence": escape(card.licence),
    }
    return facts_table(rows, run.recipe.to_toml())


def facts_table(rows: Mapping[str, str], settings: str) -> str:
    """A table of names with markup, and the recipe (`settings`) as text."""
    facts = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows.items())
    return (
        f'<h2>Model</h2><table class="facts">{facts}</table>'
        "<details><summary>All settings</summary>"
        f"<pre>{escape(settings)}</pre></details>"
    )


def write_page(path: Path, page: str) -> None:
    """Write a page atomically. Raises OutputError."""
    with whole_file(path) as temporary:
        # File names may hold lone surrogates.
        temporary.write_bytes(page.encode("utf-8", "replace"))
