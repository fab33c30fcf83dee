"""The report of a cross-validation: one HTML page.

write_crossval_report(out / "report.html", result)
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from boneseg._util.drawing.charts import bars, curve, histogram, linear, scatter
from boneseg._util.drawing.style import STYLE
from boneseg._util.drawing.thumbnails import thumbnails
from boneseg._util.text import counted
from boneseg.evaluation.tables import metrics_table
from boneseg.masks.read import read_mask
from boneseg.training.history import read_curve
from boneseg.training.report import (
    HEAD,
    WORST,
    case_strip,
    case_table,
    facts_table,
    legend,
    write_page,
)

if TYPE_CHECKING:
    from boneseg.evaluation.scores import CaseScores, Summary
    from boneseg.experiments.crossval_result import CrossValidation


def write_crossval_report(path: Path, result: CrossValidation) -> None:
    """Write the report of a cross-validation atomically. Raises OutputError."""
    ranked = sorted(result.summary.cases, key=lambda one: (one.scores.dice, -one.scores.hd95_px))
    title = f"Cross-validation {result.out.absolute().name}"
    sections = [
        f"<h1>{escape(title)}</h1>",
        _headline(result),
        _caveats(result),
        f'<h2>Scores of all films</h2><div class="scroll">{metrics_table(result.summary)}</div>',
        _folds(result),
        _charts(result),
        f"<h2>Worst films</h2>{legend()}",
        *_worst(result, ranked[:WORST]),
        case_table(ranked),
        _origin(result),
    ]
    head = f"{HEAD}<title>{escape(title)}</title><style>{STYLE}</style></head>"
    body = "\n".join(sections)
    write_page(path, f"{head}\n<body><main>\n{body}\n</main></body></html>\n")


def _headline(result: CrossValidation) -> str:
    mean, ci = result.summary.mean, result.summary.ci95
    found = result.calibration
    tiles = [
        (
            "Dice",
            f"{mean['dice']:.4f} ± {result.summary.std['dice']:.4f}",
            f"95 % {ci['dice'][0]:.4f} to {ci['dice'][1]:.4f}",
        ),
        (
            "HD95",
            f"{mean['hd95_px']:.2f} px",
            f"95 % {ci['hd95_px'][0]:.2f} to {ci['hd95_px'][1]:.2f}",
        ),
        ("Films", str(len(result.summary.cases)), f"in {counted(len(result.folds), 'fold')}"),
        ("Failed folds", str(len(result.failed)), "excluded from all figures"),
        (
            "Calibration error",
            f"{found.ece_after:.4f}",
            f"{found.ece_before:.4f} before temperature scaling by {found.temperature:g}",
        ),
        ("Trust", *_trust(result)),
    ]
    drawn = (f"<div><dt>{a}</dt><dd>{b}</dd><dd>{c}</dd></div>" for a, b, c in tiles)
    return f'<dl class="tiles">{"".join(drawn)}</dl>'


def _trust(result: CrossValidation) -> tuple[str, str]:
    """How well trust predicts Dice, and how it was measured."""
    if all(trust is None for fold in result.folds for trust in fold.trust):
        return "–", "not available: trained without mirroring"
    if result.trust is None:
        return "–", "too few films, or no variation"
    flagged = f"{result.trust.worst_tenth_flagged:.0%} of the worst tenth flagged"
    how = "single model with mirroring, out of fold"
    return f"{result.trust.spearman:.2f}", f"rank correlation with Dice, {how}; {flagged}"


def _caveats(result: CrossValidation) -> str:
    grouped = any(case.group is not None for case in result.cases.values())
    lines = [
        "Each film was predicted by the model that was not trained on it; that model's weights and "
        "threshold were chosen on films of the other folds. Calibration and trust are those of "
        "single models, with mirrored test-time augmentation if trained with mirroring; those of "
        "the ensemble cannot be measured on films that it was trained on.",
        "All films of a patient are in one fold, by groups.csv."
        if grouped
        else "Films are not grouped by patient (no groups.csv), so films of one patient may be in "
        "training and test, which makes the figures optimistic.",
    ]
    lines += [f"Fold {number} failed: {escape(reason)}." for number, reason in result.failed]
    lines += [
        f"Fold {fold.number} collapsed and was restarted {counted(fold.restarts, 'time')} with "
        "another seed."
        for fold in result.folds
        if fold.restarts
    ]
    if result.summary.empty_predictions:
        missed = counted(result.summary.empty_predictions, "film")
        lines.append(f"No bone was found in {missed} with bone.")
    lines.append("This page shows films: share it only as you would the films themselves.")
    return f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>"


def _folds(result: CrossValidation) -> str:
    heads = ["", "films", "Dice", "95 %", "std", "HD95, px", "restarts", "minutes", "threshold"]
    rows = [
        _row(
            f"fold {fold.number}",
            fold.summary,
            (str(fold.restarts), f"{fold.seconds / 60:.1f}", f"{fold.threshold:g}"),
        )
        for fold in result.folds
    ]
    rows += [
        f"<tr><th>fold {number}</th><td>failed</td>{'<td></td>' * 7}</tr>"
        for number, _ in result.failed
    ]
    rows += [_row(escape(part), found, ("", "", "")) for part, found in result.parts.items()]
    threshold = f"{result.calibration.threshold:g}"
    rows.append(_row("<b>all films</b>", result.summary, ("", "", threshold)))
    head = "".join(f"<th>{name}</th>" for name in heads)
    return (
        f'<h2>Folds</h2><div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(name: str, found: Summary, more: Sequence[str]) -> str:
    low, high = found.ci95["dice"]
    cells = [
        str(len(found.cases)),
        f"{found.mean['dice']:.4f}",
        f"{low:.4f} to {high:.4f}" if len(found.cases) > 1 else "one film",
        f"{found.std['dice']:.4f}" if len(found.cases) > 1 else "–",
        f"{found.mean['hd95_px']:.2f}",
        *more,
    ]
    return f"<tr><th>{name}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _charts(result: CrossValidation) -> str:
    cases = result.summary.cases
    dice = [case.scores.dice for case in cases]
    distances = [case.scores.hd95_px for case in cases]
    shares = [(100 * result.films[case.name].bone_share, case.scores.dice) for case in cases]
    figures = {
        "Validation Dice of each fold, over minutes": _curves(result),
        "Dice against the bone share of the film, %": scatter(
            "Dice against bone share",
            linear(max(x for x, _ in shares)),
            linear(1),
            shares,
            unit="% bone",
        ),
        "Films by Dice": histogram("Films by Dice", dice, unit="Dice"),
        "Films by Hausdorff distance (HD95)": bars(
            "Films by HD95", linear(max(distances)), distances, unit="px"
        ),
    }
    drawn = (f"<figure><figcaption>{a}</figcaption>{b}</figure>" for a, b in figures.items())
    return f'<h2>Charts</h2><div class="charts">{"".join(drawn)}</div>'


def _curves(result: CrossValidation) -> str:
    histories = [result.out / f"fold-{fold.number}" / "history.csv" for fold in result.folds]
    lines = [[(x / 60, y) for x, y in read_curve(history)] for history in histories]
    across = linear(max((x for line in lines for x, _ in line), default=1.0))
    return curve("Validation Dice of each fold", across, linear(1), lines, unit="minutes")


def _worst(result: CrossValidation, worst: Sequence[CaseScores]) -> list[str]:
    strips = []
    for case in worst:
        film = result.films[case.name]
        mask = read_mask(result.out / "out_of_fold" / f"{case.name}_mask.png")
        strips.append(case_strip(case, thumbnails(film.radiograph.pixels, film.mask, mask)))
    return strips


def _origin(result: CrossValidation) -> str:
    card = result.bundle.card
    rows = {
        "Network": f"{card.network.architecture}, {result.folds[0].parameters:,} "
        f"parameters, {card.members} members",
        "Working size": f"{card.height} × {card.width} px (height × width)",
        "Data fingerprint": f"<code>{escape(result.fingerprint)}</code>",
        "Made with": escape(", ".join(f"{name} {v}" for name, v in card.versions.items())),
    }
    return facts_table(rows, result.recipe.to_toml())
