"""Comparison of recipes with the same folds, the same seed and the same scored films.

    knees = open_dataset("knees")
    print(compare_recipes(knees, ["default", "seed-deep"], "runs/trials").table())

Each recipe is cross-validated in RUN/<recipe>; every film then has one out-of-fold score per
recipe, and recipes are compared by paired tests over films.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from boneseg._util.files import write_table
from boneseg._util.lock import exclusive
from boneseg._util.pools import Pool, local_pool
from boneseg.dataset.load import IN_MEMORY, Films, load_films
from boneseg.dataset.open import Dataset
from boneseg.errors import TrainingError, UsageError
from boneseg.evaluation.scores import by_part, summarise
from boneseg.evaluation.statistics import bootstrap_ci95, paired_p, sampling_units
from boneseg.experiments.compare_result import Comparison, Row
from boneseg.experiments.crossval import cross_validate
from boneseg.experiments.crossval_result import CrossValidation
from boneseg.experiments.fold import fold_folder
from boneseg.recipes.builtin import BUILT_IN, load_recipe
from boneseg.recipes.recipe import Recipe
from boneseg.training.components import check_components
from boneseg.training.history import Check, read_curve

Report = Callable[[str, int, Check], None]  # the recipe, the fold, and a validation check


@exclusive
def compare_recipes(
    data: Dataset | Films,
    names: Sequence[str],
    out: Path | str,
    *,
    folds: int = 5,
    settings: Sequence[str] = (),
    resume: bool = False,
    parallel: int = 1,
    pool: Pool | None = None,
    report: Report | None = None,
) -> Comparison:
    """Cross-validate recipes (names of built-in ones or TOML files) and compare them.

    `settings` ("section.key=value") apply to every recipe: equal training time, a seed. With
    `resume`, finished recipes are not run again. `parallel` and `pool` are those of
    `cross_validate`. Writes compare.json and compare.csv.

    Raises UsageError for fewer than two recipes, duplicates or equal names, and whatever
    `cross_validate` raises; a recipe whose folds all fail stops the comparison.
    """
    out, pool = Path(out), pool or local_pool(parallel)
    recipes = _recipes(names, settings)
    films = load_films(data, out, in_memory=0 if pool.shares_files else IN_MEMORY)
    results = []
    for name, recipe in recipes.items():

        def report_recipe(fold: int, check: Check, name: str = name) -> None:
            if report:
                report(name, fold, check)

        results.append(
            cross_validate(
                films,
                recipe,
                out / name,
                folds=folds,
                resume=resume and (out / name / "plan.json").exists(),
                pool=pool,
                report=report_recipe,
            )
        )
    comparison = compared(list(recipes), results)
    comparison.document().write(out / "compare.json")
    rows = [_cells(row) for row in comparison.rows]
    write_table(out / "compare.csv", list(rows[0]), [list(row.values()) for row in rows])
    return comparison


def _recipes(names: Sequence[str], settings: Sequence[str]) -> dict[str, Recipe]:
    """The recipes to compare, by the name of their folder. Raises UsageError and RecipeError."""
    folders = [name if name in BUILT_IN else Path(name).stem for name in names]
    if len(names) < 2 or len(set(names)) < len(names):
        raise UsageError("compare: give at least two recipes, each only once")
    alike = [name for name, folder in zip(names, folders, strict=True) if folders.count(folder) > 1]
    if alike:
        raise UsageError(
            f"compare: {' and '.join(alike)} have the same name; rename one of the files"
        )
    recipes = [load_recipe(name).with_settings(settings) for name in names]
    for recipe in recipes:
        check_components(recipe)
    if len({recipe.run.seed for recipe in recipes}) > 1:
        raise UsageError("compare: the recipes have different seeds; add --set run.seed=0")
    return dict(zip(folders, recipes, strict=True))


def _cells(row: Row) -> dict[str, object]:
    """A row of compare.csv, one value per cell."""
    low, high = row.dice_ci95
    cells = {key: value for key, value in asdict(row).items() if key not in ("dice_ci95", "parts")}
    parts = {f"dice {part}": dice for part, dice in row.parts.items()}
    return cells | {"dice_ci95_low": low, "dice_ci95_high": high} | parts


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
        aim = max((dice for _, dice in _curve(first, fold.number)), default=1.0)
        curve = _curve(result, fold.number)
        times.append(next((seconds for seconds, dice in curve if dice >= aim), None))
    known = [time for time in times if time is not None]
    return float(np.mean(known)) if known and len(known) == len(times) else None


def _curve(result: CrossValidation, fold: int) -> list[tuple[float, float]]:
    return read_curve(fold_folder(result.out, fold) / "history.csv")
