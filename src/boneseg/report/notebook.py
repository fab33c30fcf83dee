"""What results show of themselves in a notebook: markup in a frame with its own small style."""

from __future__ import annotations

import base64
import io
import math
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boneseg.chance import p_words
from boneseg.errors import BonesegError
from boneseg.history import Check, read_curve
from boneseg.metrics import Summary
from boneseg.prepare import Floats
from boneseg.radiograph import read_radiograph
from boneseg.report.charts import bars, curve, linear
from boneseg.words import counted
from boneseg.writers.overlay import overlay

if TYPE_CHECKING:
    from boneseg.compare import Comparison
    from boneseg.crossval_result import CrossValidation
    from boneseg.dataset import Case, Dataset
    from boneseg.engine import Finding
    from boneseg.evaluate import Evaluation
    from boneseg.radiograph import Radiograph
    from boneseg.training import TrainedRun
    from boneseg.tune import Tuned

SIDE = 512  # px, the longest of a picture
SHOWN, SMALL = 4, 256  # pictures of a dataset, and the longest side of each, px

_STYLE = """<style>
.boneseg figure{display:inline-block;margin:0 1em 1em 0;vertical-align:top}
.boneseg svg{width:26em;max-width:100%;height:auto}.boneseg svg text{fill:gray;font-size:12px}
.boneseg .grid{stroke:gray;stroke-opacity:.3;fill:none}.boneseg .bar,.boneseg .dot{fill:#0072b2}
.boneseg .line{fill:none;stroke:#0072b2;stroke-width:2}.boneseg .old{opacity:.5}
.boneseg .best{fill:none;stroke:#d55e00;stroke-width:2}
.boneseg img{min-width:16em;max-width:100%}
.boneseg td,.boneseg th{text-align:right;padding:.1em .8em;font-variant-numeric:tabular-nums}
.boneseg th:first-child{text-align:left}
</style>"""


def radiograph_html(film: Radiograph) -> str:
    """The film, its size, and how its spacing is known."""
    height, width = film.pixels.shape
    spacing = ""
    if film.spacing_mm:
        rows, columns = film.spacing_mm
        spacing = f", {rows:.3g} × {columns:.3g} mm a pixel ({escape(film.spacing_kind)})"
    return _frame(_figure(film.pixels, f"{height} × {width} px{spacing}"))


def dataset_html(dataset: Dataset) -> str:
    """How many films of which body parts, and some of them with their masks."""
    parts = Counter(case.part for case in dataset.cases if case.part is not None)
    rows = [(escape(part), str(count)) for part, count in sorted(parts.items())]
    rows.append(("all with a mask", str(len(dataset.cases))))
    step = max(1, len(dataset.cases) // SHOWN)
    figures = "".join(_case_figure(case) for case in dataset.cases[::step][:SHOWN])
    name = f"<p>{escape(dataset.root.absolute().name)}</p>"
    return _frame(name + _table(("", "films"), rows) + figures)


def _case_figure(case: Case) -> str:
    try:
        pixels = read_radiograph(case.image).pixels
        mask = case.read_mask((pixels.shape[0], pixels.shape[1]))
    except BonesegError as error:  # a notebook shows what there is; training names the film
        return f"<p>{escape(str(error))}</p>"
    return _figure(pixels, escape(case.name), mask, side=SMALL)


def finding_html(found: Finding) -> str:
    """The film with its bones tinted and outlined, and how far the mask can be trusted."""
    trust = "" if found.trust is None else f", trust {found.trust:.2f}"
    caution = f"; warning: {found.warning}" if found.warning else ""
    words = f"bone: {found.mask.mean():.1%} of the film{trust}{caution}"
    return _frame(_figure(found.pixels, words, found.mask))


def run_html(run: TrainedRun) -> str:
    """The best validation Dice, and the way there."""
    films = counted(len(run.validation), "validation film")
    words = (
        f"<p>Dice {run.best_dice:.4f} on {films} at working size; "
        f"trained on {len(run.training)}; {counted(run.restarts, 'restart')}</p>"
    )
    return _frame(words + _history_figures(run.history))


def crossval_html(result: CrossValidation) -> str:
    """The table of folds, their curves, and the films by Hausdorff distance."""
    rows = [(f"fold {fold.number}", fold.summary) for fold in result.folds]
    rows += [*result.parts.items(), ("all films", result.summary)]
    failed = "".join(f"<p>Fold {n} failed: {escape(why)}</p>" for n, why in result.failed)
    distances = [case.scores.hd95_px for case in result.summary.cases]
    lines = [
        [(seconds / 60, dice) for seconds, dice in read_curve(result.out / name)]
        for name in (f"fold-{fold.number}/history.csv" for fold in result.folds)
    ]
    across = linear(max((x for line in lines for x, _ in line), default=1.0))
    figures = _titled(
        "Validation Dice of each fold", curve("Dice", across, linear(1), lines, unit="minutes")
    ) + _titled("Films by HD95", bars("HD95", linear(max(distances)), distances, unit="px"))
    return _frame(summaries_html(rows) + failed + figures)


def evaluation_html(found: Evaluation) -> str:
    """Means with their intervals, of all films and of each body part; and what failed."""
    failed = "".join(f"<p>{escape(failure.reason)}</p>" for failure in found.failures)
    if not found.summary.cases:
        return _frame(f"<p>{found.nothing_scored}</p>{failed}")
    return _frame(summaries_html([("all films", found.summary), *found.parts.items()]) + failed)


def comparison_html(found: Comparison) -> str:
    """A row a recipe."""
    heads = ("recipe", "Dice", "95 %", "p", "HD95, px", "minutes", "weights")
    rows = [
        (
            escape(row.recipe),
            f"{row.dice:.4f}",
            f"{row.dice_ci95[0]:.4f} to {row.dice_ci95[1]:.4f}",
            escape(p_words(row.p_dice)),
            f"{row.hd95_px:.2f}",
            f"{row.seconds / 60:.1f}",
            f"{row.parameters:,}",
        )
        for row in found.rows
    ]
    return _frame(_table(heads, rows))


def tuned_html(found: Tuned) -> str:
    """The best trials, and how sure the find is."""
    rows = [(number, dice, escape(settings)) for number, dice, settings in found.rows()]
    remarks = "".join(f"<p>{escape(remark)}</p>" for remark in found.remarks)
    return _frame(_table(("trial", "validation Dice", "settings"), rows) + remarks)


def summaries_html(rows: Sequence[tuple[str, Summary]]) -> str:
    """A table with a row for each of some summaries."""
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
    return _table(heads, cells)


def _history_figures(history: Sequence[Check]) -> str:
    if not history:
        return ""
    across = linear(history[-1].seconds)
    dice = [[(row.seconds, row.dice) for row in history]]
    loss = [[(row.seconds, row.loss) for row in history if math.isfinite(row.loss)]]
    top = linear(max((height for _, height in loss[0]), default=1.0))
    return _titled(
        "Validation Dice", curve("Dice", across, linear(1), dice, unit="seconds")
    ) + _titled("Training loss", curve("Loss", across, top, loss, unit="seconds"))


def _titled(title: str, chart: str) -> str:
    return f"<figure><figcaption>{title}</figcaption>{chart}</figure>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join(
        f"<tr><th>{first}</th>{''.join(f'<td>{cell}</td>' for cell in rest)}</tr>"
        for first, *rest in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _figure(
    pixels: Floats, words: str, mask: NDArray[np.bool_] | None = None, side: int = SIDE
) -> str:
    shown = overlay(pixels, mask if mask is not None else np.zeros(pixels.shape, np.bool_))
    image = Image.fromarray(shown)
    image.thumbnail((side, side))
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")
    return f'<figure><img src="{uri}" alt="radiograph"><figcaption>{words}</figcaption></figure>'


def _frame(markup: str) -> str:
    return f'{_STYLE}<div class="boneseg">{markup}</div>'
