"""Search for a better recipe on a dataset, and test whether the best is significantly better.

    found = tune_recipe(open_dataset(Path("knees")), load_recipe("default"), Path("runs/tuned"))
    print(found.table())

    RUN/tune.db       every trial (SQLite, by Optuna), from which a search resumes; or study.json,
                      the name of the study in another database
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
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from boneseg._util import runtime
from boneseg._util.files import whole_file
from boneseg._util.lock import exclusive
from boneseg._util.pools import Pool, local_pool
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
    StudyPlace,
    open_study,
    place_of,
    storage_errors,
)
from boneseg.inference.engine import Engine
from boneseg.recipes.recipe import Recipe
from boneseg.recipes.search_space import SPACE, Choices, Range, Space, check_space, varied
from boneseg.training.components import check_components
from boneseg.training.history import Check
from boneseg.training.run import TrainedRun
from boneseg.training.run_folder import CHECKPOINT
from boneseg.training.train import train

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

Report = Callable[[int, Check], None]  # the trial, from 1; 0 is the base
Ending = tuple[float | None, Check | None]  # Dice, None where pruned; and the last check

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
    pool: Pool | None = None,
    storage: str | None = None,
    report: Report | None = None,
) -> Tuned:
    """Try `trials` recipes from a search space around `base`, with Optuna's TPE and median pruning.

    With `parallel` above 1, that many trials run at once in separate processes, and `report` is
    called once per trial, with its last check, when it ends. A `pool` runs the trials elsewhere,
    such as on a cluster, instead; its machines share the database at `storage`, a URL of
    PostgreSQL. `resume` continues an interrupted search, including unfinished trials. Trials are
    drawn from the seed of `base`: one at a time, on one number of cores, a search is reproducible.

    Raises UsageError for fewer than one trial or worker, RecipeError for a space with invalid
    values, DatasetError for too few films, and TrainingError for a search that exists already or
    has other films, another recipe or another space, or for a worker process that was killed.
    """
    if trials < 1:
        raise UsageError("tune: trials must be one or more")
    check_components(base)
    check_space(space, base, check_components)
    out, pool = Path(out), pool or local_pool(parallel)
    place = place_of(out, storage, resume)
    films = load_films(data, out, in_memory=0 if pool.shares_files else IN_MEMORY)
    check_space(space, base, lambda recipe: recipe.settle(films.shapes))
    searched, held_out = _split(films, base.run.seed)
    plan = SearchPlan(
        films=films.fingerprints,
        recipe=base,
        space=dict(space),
        held_out=tuple(sorted(case.name for case in held_out.cases)),
    )
    with storage_errors(place):
        study = open_study(out, place, plan, resume)
        search = _Search(base, dict(space), trials, study, place, pool.threads)
        _run_all(searched, search, out, pool, report)
        found = _conclude(searched, search, held_out, out)
    _write(found, out)
    return found


@dataclass(frozen=True)
class _Search:
    base: Recipe
    space: dict[str, Range | Choices]
    trials: int
    study: Study
    place: StudyPlace
    threads: int | None


@dataclass(frozen=True)
class TrialTask:
    """A recipe to try. trial: ID of Optuna's trial; None for the base, which is never pruned."""

    number: int  # from 1; 0: the base
    folder: str  # of its training run
    recipe: Recipe
    threads: int | None
    place: StudyPlace
    trial: int | None = None

    @property
    def name(self) -> str:
        """Its folder, below that of the search."""
        return f"trials/{self.folder}"

    @property
    def record(self) -> str:
        """The file that is written last."""
        return f"{self.name}/{CHECKPOINT}"


def _split(films: Films, seed: int) -> tuple[Films, Films]:
    """The films to search on, and the fifth that is held out of all trials."""
    try:
        held_out = split_folds(films.cases, films.clusters, 5, seed, films.bone_shares)[0]
    except DatasetError:  # its message is about folds, which the caller does not use
        raise DatasetError("tune: needs films of at least 5 patients; add films") from None
    return films.part(all_but(held_out, len(films))), films.part(held_out)


def _run_all(films: Films, search: _Search, out: Path, pool: Pool, report: Report | None) -> None:
    """Train the base recipe, and run the remaining trials."""
    from optuna.trial import TrialState

    function = partial(run_trial, report=report) if pool.in_process else run_trial
    for task, ending in pool.run(function, films, _tasks(search), out):
        if isinstance(ending, TrainingError):  # repeated collapse: the trial has no score
            if task.trial is None:
                raise ending
            ending = None, None
        dice, last = ending
        if task.trial is not None:
            state = TrialState.PRUNED if dice is None else TrialState.COMPLETE
            search.study.tell(task.number - 1, dice, state)
        if report and last is not None and not pool.in_process:
            report(task.number, last)


def _tasks(search: _Search) -> Iterator[TrialTask]:
    """The base, and the remaining trials; each is drawn when it is asked for."""
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    study, base = search.study, search.base
    yield TrialTask(0, BASE, base, search.threads, search.place)
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    distributions = {name: _distribution(one) for name, one in search.space.items()}
    for _ in range(search.trials - len(done)):
        study.sampler = TPESampler(seed=base.run.seed + 7919 * len(_kept(study)))
        trial = study.ask(distributions)
        try:
            recipe = varied(base, trial.params)
        except RecipeError:  # incompatible settings: the trial has no score
            study.tell(trial.number, state=TrialState.PRUNED)
            continue
        folder = _folder(trial.params)
        yield TrialTask(
            trial.number + 1, folder, recipe, search.threads, search.place, trial._trial_id
        )


def _kept(study: Study) -> list[FrozenTrial]:
    """All trials but the interrupted ones, and those that wait to be tried again in their place."""
    from optuna.trial import TrialState

    states = set(TrialState) - {TrialState.FAIL, TrialState.WAITING}
    return study.get_trials(deepcopy=False, states=tuple(states))


def _distribution(one: Range | Choices) -> BaseDistribution:
    from optuna import distributions

    if isinstance(one, Choices):
        return distributions.CategoricalDistribution(one.choices)
    if isinstance(one.low, int) and isinstance(one.high, int):
        return distributions.IntDistribution(one.low, one.high, log=one.log)
    return distributions.FloatDistribution(one.low, one.high, log=one.log)


def run_trial(films: Films, task: TrialTask, out: Path, report: Report | None = None) -> Ending:
    """Return the validation Dice of a recipe, None where it falls behind; and its last check.

    `out` is the folder of the search. Raises TrainingError where the training collapses, and
    OutputError for the database.
    """
    from optuna import TrialPruned
    from optuna.trial import Trial

    if task.threads is not None:
        runtime.train_beside_others(task.threads)
    last: Check | None = None
    passed = 0

    with storage_errors(task.place):
        trial = Trial(task.place.study(), task.trial) if task.trial is not None else None

        def prune(check: Check) -> None:
            nonlocal last, passed
            last = check
            if report:
                report(task.number, check)
            if trial and int(check.done * PRUNING_CHECKS) > passed and check.done < 1:
                passed = int(check.done * PRUNING_CHECKS)
                trial.report(check.dice, passed)
                if trial.should_prune():
                    raise TrialPruned

        try:
            run = _train(films, task.recipe, out / task.name, prune)
        except RecipeError:  # incompatible settings
            return None, last
        except TrialPruned:
            shutil.rmtree(out / task.name, ignore_errors=True)
            return None, last
    return run.assess().summary.mean["dice"], last


def _folder(settings: Mapping[str, Setting]) -> str:
    """Name a trial's folder by its settings, so that an interrupted one is found again."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _train(
    films: Films, recipe: Recipe, folder: Path, report: Callable[[Check], None] | None = None
) -> TrainedRun:
    return train(films, recipe, folder, resume=True, report=report)


def _trials(study: Study) -> tuple[TrialResult, ...]:
    """The finished trials."""
    from optuna.trial import TrialState

    finished = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
    return tuple(
        TrialResult(
            number=number,
            settings=trial.params,
            dice=trial.value if trial.state == TrialState.COMPLETE else None,
            state=trial.state.name.lower(),
        )
        for number, trial in enumerate(finished, start=1)
    )


def _conclude(films: Films, search: _Search, held_out: Sequence[Film], out: Path) -> Tuned:
    """Compare the best trial with the base on the held-out films."""
    trials, folder = _trials(search.study), out / "trials"
    base_run = _train(films, search.base, folder / BASE)
    base = base_run.assess()
    settings: dict[str, Setting] = {}
    best_dice = base.summary.mean["dice"]
    for trial in trials:
        if trial.dice is not None and trial.dice > best_dice:
            settings, best_dice = trial.settings, trial.dice
    best, best_run = base, base_run
    if settings:
        best_run = _train(films, varied(search.base, settings), folder / _folder(settings))
        best = best_run.assess()
    bundle = save_bundle(out / "bundle", best_run.network, best.card)
    base_bundle = save_bundle(folder / BASE / "bundle", base_run.network, base.card)
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
