"""Comparison of recipes with the same folds, the same seed and the same scored films.

    knees = open_dataset("knees")
    print(compare_recipes(knees, ["default", "seed-deep"], "runs/trials").table())

Each recipe is cross-validated in RUN/<recipe>; every film then has one out-of-fold score per
recipe, and recipes are compared by paired tests over films.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from boneseg._util.drawing.html import frame, table
from boneseg._util.files import whole_file, write_table
from boneseg._util.lock import exclusive
from boneseg._util.text import counted
from boneseg.dataset.open import Dataset
from boneseg.errors import TrainingError, UsageError
from boneseg.evaluation.scores import by_part, summarise
from boneseg.evaluation.statistics import bootstrap_ci95, p_words, paired_p, sampling_units
from boneseg.experiments.crossval import cross_validate
from boneseg.experiments.crossval_result import CrossValidation
from boneseg.recipes.builtin import BUILT_IN, load_recipe
from boneseg.training.components import check_components
from boneseg.training.history import Check, read_curve

Report = Callable[[str, int, Check], None]  # the recipe, the fold, and a validation check


@dataclass(frozen=True)
class Row:
    """The results of one recipe over all films."""

    recipe: str
    dice: float
    dice_ci95: tuple[float, float]
    hd95_px: float
    seconds: float  # of training, mean over folds
    parameters: int
    restarts: int
    failed_folds: int
    p_dice: float | None  # against the first recipe; None for the first itself
    p_hd95: float | None
    seconds_to_first: float | None  # to the best validation Dice of the first; None: never
    parts: dict[str, float]  # Dice of each body part


@dataclass(frozen=True)
class Comparison:
    """The rows in the order of the recipes given, over the films that all of them scored."""

    films: int
    units: int  # resampling units: patients where known, else films
    rows: tuple[Row, ...]

    def __repr__(self) -> str:
        found = ", ".join(f"{row.recipe} {row.dice:.4f}" for row in self.rows)
        return f"Comparison({counted(self.films, 'film')}: {found})"

    def _repr_html_(self) -> str:
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
            for row in self.rows
        ]
        return frame(table(heads, rows))

    def table(self) -> str:
        """Format the rows, and those of body parts, for a terminal."""
        lines = [
            f"{'':<26}{'Dice':>8}{'95 %':>18}{'HD95 px':>9}{'seconds':>9}{'weights':>12}"
            f"{'p Dice':>9}{'p HD95':>9}"
        ]
        for row in self.rows:
            low, high = row.dice_ci95
            lines.append(
                f"{row.recipe:<26}{row.dice:>8.4f}{f'{low:.4f} to {high:.4f}':>18}"
                f"{row.hd95_px:>9.2f}{row.seconds:>9.0f}{row.parameters:>12,}"
                f"{p_words(row.p_dice):>9}{p_words(row.p_hd95):>9}"
            )
        parts = sorted({part for row in self.rows for part in row.parts})
        if parts:
            lines += ["", f"{'Dice of':<26}" + "".join(f"{part[:12]:>13}" for part in parts)]
            for row in self.rows:
                values = "".join(f"{row.parts[part]:>13.4f}" for part in parts)
                lines.append(f"{row.recipe:<26}{values}")
        return "\n".join(lines)


@exclusive
def compare_recipes(
    dataset: Dataset,
    names: Sequence[str],
    out: Path | str,
    *,
    folds: int = 5,
    settings: Sequence[str] = (),
    resume: bool = False,
    parallel: int = 1,
    report: Report | None = None,
) -> Comparison:
    """Cross-validate recipes (names of built-in ones or TOML files) and compare them.

    `settings` ("section.key=value") apply to every recipe: equal training time, a seed. With
    `resume`, finished recipes are not run again. Writes compare.json and compare.csv.

    Raises UsageError for fewer than two recipes, duplicates or equal names, and whatever
    `cross_validate` raises; a recipe whose folds all fail stops the comparison.
    """
    out = Path(out)
    folders = [name if name in BUILT_IN else Path(name).stem for name in names]
    if len(names) < 2 or len(set(names)) < len(names):
        raise UsageError("compare: give at least two recipes, each only once")
    alike = [name for name, folder in zip(names, folders, strict=True) if folders.count(folder) > 1]
    if alike:
        raise UsageError(
            f"compare: {' and '.join(alike)} have the same name; rename one of the files"
        )
    chosen = [load_recipe(name).with_settings(settings) for name in names]
    for one in chosen:
        check_components(one)
    seeds = {one.run.seed for one in chosen}
    if len(seeds) > 1:
        raise UsageError("compare: the recipes have different seeds; add --set run.seed=0")
    results = []
    for folder, one in zip(folders, chosen, strict=True):

        def tell(fold: int, check: Check, name: str = folder) -> None:
            if report:
                report(name, fold, check)

        known = resume and (out / folder / "plan.json").exists()
        results.append(
            cross_validate(
                dataset,
                one,
                out / folder,
                folds=folds,
                resume=known,
                parallel=parallel,
                report=tell,
            )
        )
    comparison = compared(folders, results)
    with whole_file(out / "compare.json") as temporary:
        temporary.write_text(json.dumps(asdict(comparison), indent=2) + "\n", encoding="utf-8")
    rows = [_cells(row) for row in comparison.rows]
    write_table(out / "compare.csv", list(rows[0]), [list(row.values()) for row in rows])
    return comparison


def _cells(row: Row) -> dict[str, Any]:
    """A row of compare.csv, one value per cell."""
    facts = asdict(row)
    low, high = facts.pop("dice_ci95")
    parts = {f"dice {part}": dice for part, dice in facts.pop("parts").items()}
    return facts | {"dice_ci95_low": low, "dice_ci95_high": high} | parts


def compared(names: Sequence[str], results: Sequence[CrossValidation]) -> Comparison:
    """Compare finished cross-validations over the films that all of them scored."""
    scores = [{case.name: case.scores for case in one.summary.cases} for one in results]
    films = sorted(set.intersection(*(set(one) for one in scores)))
    if not films:
        raise TrainingError(
            "no film was scored by every recipe; compare recipes with fewer failed folds"
        )
    scored = [summarise(c for c in one.summary.cases if c.name in films) for one in results]
    parts = {name: case.part for name, case in results[0].cases.items()}
    groups = [results[0].cases[name].group for name in films]
    dice = [[one[name].dice for name in films] for one in scores]
    hd95 = [[one[name].hd95_px for name in films] for one in scores]
    rows = [
        Row(
            recipe=name,
            dice=float(np.mean(dice[i])),
            dice_ci95=bootstrap_ci95(dice[i], groups=groups),
            hd95_px=float(np.mean(hd95[i])),
            seconds=float(np.mean([fold.seconds for fold in result.folds])),
            parameters=result.folds[0].parameters,
            restarts=sum(fold.restarts for fold in result.folds),
            failed_folds=len(result.failed),
            p_dice=paired_p(dice[i], dice[0], groups=groups) if i else None,
            p_hd95=paired_p(hd95[i], hd95[0], groups=groups) if i else None,
            seconds_to_first=_seconds_to(result, results[0]),
            parts={part: s.mean["dice"] for part, s in by_part(scored[i], parts).items()},
        )
        for i, (name, result) in enumerate(zip(names, results, strict=True))
    ]
    return Comparison(len(films), sampling_units(groups)[0], tuple(rows))


def _seconds_to(result: CrossValidation, first: CrossValidation) -> float | None:
    """Seconds until the best validation Dice of the first is reached, mean over folds."""
    times = []
    for fold in first.folds:
        history = f"fold-{fold.number}/history.csv"
        aim = max((dice for _, dice in read_curve(first.out / history)), default=1.0)
        curve = read_curve(result.out / history)
        times.append(next((seconds for seconds, dice in curve if dice >= aim), None))
    known = [time for time in times if time is not None]
    return float(np.mean(known)) if known and len(known) == len(times) else None
