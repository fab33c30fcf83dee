"""Search for a better recipe on a dataset, and test whether the best is significantly better.

    found = tune_recipe(open_dataset(Path("knees")), load_recipe("default"), Path("runs/tuned"))
    print(found.table())

    RUN/tune.db       every trial (SQLite, by Optuna), from which a search resumes
    RUN/trials/       one training run per trial; `base` is that of the base recipe
    RUN/tune.json     the trials, and the best against the base
    RUN/best.toml     the best recipe, for `boneseg train --recipe`
    RUN/bundle/       the model of the best trial

A fifth of the films is held out of all trials, which are ranked on validation films from the rest.
The best recipe and the base are compared on that fifth, film by film, without selection bias.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from boneseg._util import runtime
from boneseg._util.files import whole_file
from boneseg._util.lock import exclusive
from boneseg._util.processes import with_shared, workers
from boneseg._util.quiet import muted
from boneseg._util.text import counted
from boneseg.bundle.store import save_bundle
from boneseg.dataset.load import IN_MEMORY, Film, Films, load_films
from boneseg.dataset.open import Dataset
from boneseg.dataset.splits import all_but, split_folds
from boneseg.errors import DatasetError, RecipeError, TrainingError, UsageError
from boneseg.evaluation.scores import score
from boneseg.evaluation.statistics import bootstrap_ci95, paired_p
from boneseg.experiments.tune_result import Setting, TrialResult, Tuned
from boneseg.experiments.tune_storage import (
    PRUNING_CHECKS,
    SearchPlan,
    open_study,
    storage_errors,
    study,
)
from boneseg.inference.engine import Engine
from boneseg.recipes.recipe import Recipe
from boneseg.recipes.search_space import SPACE, Choices, Range, Space, check_space, varied
from boneseg.training.components import check_components
from boneseg.training.history import Check
from boneseg.training.run import TrainedRun
from boneseg.training.train import train

if TYPE_CHECKING:
    from optuna import Trial

Report = Callable[[int, Check], None]  # the trial, from 1; 0 is the base

BASE = "base"  # the folder of the base recipe


@exclusive
def tune_recipe(
    data: Dataset | Films,
    base: Recipe,
    out: Path | str,
    *,
    trials: int = 20,
    space: Space = SPACE,
    resume: bool = False,
    parallel: int = 1,
    report: Report | None = None,
) -> Tuned:
    """Try `trials` recipes from a search space around `base`, with Optuna's TPE and median pruning.

    With `parallel` above 1, that many trials run at once in separate processes, and `report` is
    called once per trial, with its last check, when it ends. `resume` continues an interrupted
    search, including unfinished trials.

    Raises UsageError for fewer than one trial or worker, RecipeError for a space with invalid
    values, DatasetError for too few films, and TrainingError for a search that exists already or
    has other films, another recipe or another space, or for a worker process that was killed.
    """
    if trials < 1 or parallel < 1:
        raise UsageError("tune: trials and parallel trials must be one or more")
    check_components(base)
    check_space(space, base, check_components)
    out = Path(out)
    films = load_films(data, out, in_memory=IN_MEMORY if parallel == 1 else 0)
    check_space(space, base, lambda recipe: recipe.settle(films.shapes))
    searched, held_out = _split(films, base.run.seed)
    plan = SearchPlan(
        films=films.fingerprints,
        recipe=base,
        space=dict(space),
        held_out=tuple(sorted(case.name for case in held_out.cases)),
    )
    with storage_errors(out):
        open_study(out, plan, resume)
        search = _Search(base, out, dict(space), trials, _threads(parallel))
        base_run = _train(
            searched, search, BASE, base, lambda check: report(0, check) if report else None
        )
        _run_all(searched, search, parallel, report)
        found = _conclude(searched, search, base_run, held_out)
    _write(found, out)
    return found


def _threads(parallel: int) -> int | None:
    """Threads of each of several processes; None for one process."""
    return max(1, (os.cpu_count() or 1) // parallel) if parallel > 1 else None


@dataclass(frozen=True)
class _Search:
    base: Recipe
    out: Path
    space: dict[str, Range | Choices]
    trials: int
    threads: int | None


def _split(films: Films, seed: int) -> tuple[Films, Films]:
    """The films to search on, and the fifth that is held out of all trials."""
    try:
        held_out = split_folds(films.cases, films.clusters, 5, seed, films.bone_shares)[0]
    except DatasetError:  # its message is about folds, which the caller does not use
        raise DatasetError("tune: needs films of at least 5 patients; add films") from None
    return films.part(all_but(held_out, len(films))), films.part(held_out)


def _run_all(films: Films, search: _Search, parallel: int, report: Report | None) -> None:
    """Run the remaining trials."""
    from optuna.trial import TrialState

    done = study(search.out).get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
    remaining = range(search.trials - len(done))
    if parallel == 1:
        for _ in remaining:
            _run_trial(films, search, report)
        return
    with workers(parallel, search.out, films) as pool:
        running = [pool.submit(with_shared, _run_trial, search) for _ in remaining]
        for ended in as_completed(running):
            last = ended.result()
            if report and last is not None:
                report(*last)


def _run_trial(
    films: Films, search: _Search, report: Report | None = None
) -> tuple[int, Check] | None:
    """Run one trial; return its number and its last check, if any."""
    if search.threads is not None:
        runtime.train_beside_others(search.threads)
    last: tuple[int, Check] | None = None

    def report_trial(number: int, check: Check) -> None:
        nonlocal last
        last = number, check
        if report:
            report(number, check)

    trials = study(search.out)
    with muted("optuna", logging.ERROR):
        trials.optimize(lambda trial: _try(films, search, trial, report_trial), n_trials=1)
    return last


def _try(films: Films, search: _Search, trial: Trial, report: Report) -> float:
    """Return the validation Dice of one recipe. Raises TrialPruned where it falls behind."""
    from optuna import TrialPruned

    settings = {name: _suggest(trial, name, one) for name, one in search.space.items()}
    checks = 0

    def prune(check: Check) -> None:
        nonlocal checks
        report(trial.number + 1, check)
        if int(check.done * PRUNING_CHECKS) > checks and check.done < 1:
            checks = int(check.done * PRUNING_CHECKS)
            trial.report(check.dice, checks)
            if trial.should_prune():
                raise TrialPruned

    name = _folder(settings)
    try:
        run = _train(films, search, name, varied(search.base, settings), prune)
    except (TrainingError, RecipeError):
        # Repeated collapse, or incompatible settings: the trial has no score.
        raise TrialPruned from None
    except TrialPruned:
        shutil.rmtree(search.out / "trials" / name, ignore_errors=True)
        raise
    return run.assess().summary.mean["dice"]


def _suggest(trial: Trial, name: str, one: Range | Choices) -> Setting:
    if isinstance(one, Choices):
        choice: Setting = trial.suggest_categorical(name, one.choices)
        return choice
    if isinstance(one.low, int) and isinstance(one.high, int):
        return trial.suggest_int(name, one.low, one.high, log=one.log)
    return trial.suggest_float(name, one.low, one.high, log=one.log)


def _folder(settings: Mapping[str, Setting]) -> str:
    """Name a trial's folder by its settings, so that an interrupted one is found again."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _train(
    films: Films,
    search: _Search,
    name: str,
    recipe: Recipe,
    report: Callable[[Check], None] | None,
) -> TrainedRun:
    return train(films, recipe, search.out / "trials" / name, resume=True, report=report)


def _trials(out: Path) -> tuple[TrialResult, ...]:
    """The finished trials."""
    from optuna.trial import TrialState

    finished = study(out).get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
    return tuple(
        TrialResult(
            number=trial.number + 1,
            settings=trial.params,
            dice=trial.value if trial.state == TrialState.COMPLETE else None,
            state=trial.state.name.lower(),
        )
        for trial in finished
    )


def _conclude(
    films: Films, search: _Search, base_run: TrainedRun, held_out: Sequence[Film]
) -> Tuned:
    """Compare the best trial with the base on the held-out films."""
    trials = _trials(search.out)
    base = base_run.assess()
    settings: dict[str, Setting] = {}
    best_dice = base.summary.mean["dice"]
    for trial in trials:
        if trial.dice is not None and trial.dice > best_dice:
            settings, best_dice = trial.settings, trial.dice
    best, best_run = base, base_run
    if settings:
        recipe = varied(search.base, settings)
        best_run = _train(films, search, _folder(settings), recipe, None)
        best = best_run.assess()
    bundle = save_bundle(search.out / "bundle", best_run.network, best.card)
    base_folder = search.out / "trials" / BASE / "bundle"
    base_bundle = save_bundle(base_folder, base_run.network, base.card)
    base_scores, best_scores = (_scores(Engine(one), held_out) for one in (base_bundle, bundle))
    groups = [film.case.group for film in held_out]
    return Tuned(
        trials=trials,
        base_dice=base.summary.mean["dice"],
        best_dice=best_dice,
        settings=settings,
        recipe=varied(search.base, settings),
        held_out=len(held_out),
        held_out_dice=(float(base_scores.mean()), float(best_scores.mean())),
        gain_ci95=bootstrap_ci95(best_scores - base_scores, groups=groups),
        p=paired_p(best_scores, base_scores, groups=groups),
        bundle=bundle,
    )


def _write(found: Tuned, out: Path) -> None:
    """Write best.toml and tune.json. Raises OutputError."""
    summary = f"the best of {counted(len(found.trials), 'trial')}: {found.verdict}"
    with whole_file(out / "best.toml") as temporary:
        text = found.recipe.model_copy(update={"summary": summary}).to_toml()
        temporary.write_text(text, encoding="utf-8")
    found.document().write(out / "tune.json")


def _scores(engine: Engine, films: Sequence[Film]) -> NDArray[np.float64]:
    """The Dice of each film."""
    found = ((engine.segment(film.radiograph), film.mask) for film in films)
    return np.array([score(mask, truth).dice for mask, truth in found])
