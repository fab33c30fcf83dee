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
from dataclasses import asdict, dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from boneseg._util import runtime
from boneseg._util.drawing.html import frame, table
from boneseg._util.files import whole_file
from boneseg._util.lock import exclusive
from boneseg._util.processes import workers
from boneseg._util.quiet import muted
from boneseg._util.text import counted
from boneseg.bundle.store import Bundle, save_bundle
from boneseg.dataset.duplicates import near_duplicates, thumbnail
from boneseg.dataset.load import Film, fingerprints, read_films
from boneseg.dataset.open import Dataset
from boneseg.dataset.splits import all_but, split_folds
from boneseg.errors import DatasetError, RecipeError, TrainingError, UsageError
from boneseg.evaluation.scores import score
from boneseg.evaluation.statistics import bootstrap_ci95, p_words, paired_p
from boneseg.experiments.tune_storage import LOOKS, open_study, storage_errors, study
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

FEWEST = 6  # held-out films; with fewer, a sign-flip test cannot reach p < 0.05


@dataclass(frozen=True)
class TrialResult:
    """One recipe of the search."""

    number: int  # from 1
    settings: dict[str, Any]
    dice: float | None  # on the validation films; None where pruned
    state: str  # complete, pruned


@dataclass(frozen=True)
class Tuned:
    """The result of a search, and its significance."""

    trials: tuple[TrialResult, ...]
    base_dice: float  # validation Dice of the base recipe
    best_dice: float
    settings: dict[str, Any]  # of the best; empty where nothing beat the base
    recipe: Recipe
    held_back: int  # number of films held out of all trials
    held_back_dice: tuple[float, float]  # Dice of base and best on them
    gain_ci95: tuple[float, float]  # of the difference on them
    p: float  # of that difference, as `paired_p` has it
    bundle: Bundle

    @property
    def verdict(self) -> str:
        """The significance of the result, in one sentence."""
        if not self.settings:
            return "no trial was better than the base recipe, which is kept"
        base, best = self.held_back_dice
        low, high = self.gain_ci95
        films = counted(self.held_back, "film")
        figures = (
            f"Dice {best:.4f} against {base:.4f} on {films} held out of all trials "
            f"(difference {best - base:+.4f}, 95 % {low:+.4f} to {high:+.4f}, p {p_words(self.p)})"
        )
        if self.held_back < FEWEST:
            return f"too few held-out films for a significance test: {figures}"
        if self.p < 0.05:
            return f"significantly {'better' if best > base else 'WORSE'}: {figures}"
        return f"no significant difference from the base recipe: {figures}"

    def __repr__(self) -> str:
        dice = f"validation Dice {self.best_dice:.4f} from {self.base_dice:.4f}"
        return f"Tuned({dice}, {counted(len(self.trials), 'trial')})"

    def _repr_html_(self) -> str:
        rows = [(number, dice, escape(settings)) for number, dice, settings in self.rows()]
        remarks = "".join(f"<p>{escape(remark)}</p>" for remark in self.remarks)
        return frame(table(("trial", "validation Dice", "settings"), rows) + remarks)

    @property
    def remarks(self) -> tuple[str, str]:
        """The number of trials, and the verdict."""
        early = sum(trial.dice is None for trial in self.trials)
        trials = counted(len(self.trials), "trial")
        return f"{trials}, {early} of them ended early", self.verdict

    def rows(self, top: int = 5) -> list[tuple[str, str, str]]:
        """Return number, validation Dice and settings of the base and of the best trials."""
        done = [trial for trial in self.trials if trial.dice is not None]
        best = sorted(done, key=lambda one: -(one.dice or 0))[:top]
        return [("base", f"{self.base_dice:.4f}", "")] + [
            (str(trial.number), f"{trial.dice:.4f}", _listed(trial.settings)) for trial in best
        ]

    def table(self, top: int = 5) -> str:
        """Format the best trials and the verdict for a terminal."""
        lines = [f"{a:>6} {b}  {c}".rstrip() for a, b, c in self.rows(top)]
        return "\n".join([*lines, *self.remarks])

    def to_json(self) -> dict[str, Any]:
        """Return the document of tune.json."""
        skipped = ("trials", "recipe", "bundle")
        facts = {key: value for key, value in self.__dict__.items() if key not in skipped}
        return {
            "verdict": self.verdict,
            **facts,
            "trials": [asdict(trial) for trial in self.trials],
            "recipe": self.recipe.model_dump(mode="json"),
        }


@exclusive
def tune_recipe(
    dataset: Dataset,
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
    films = read_films(dataset.cases, faults=dataset.faults)
    shapes = [film.square_shape for film in films]
    check_space(space, base, lambda recipe: recipe.settle(shapes))
    kept, held = _hold_back(films, base.run.seed)
    inside = replace(dataset, cases=tuple(films[index].case for index in kept))
    facts = {
        "films": fingerprints(films),
        "recipe": base.model_dump(mode="json"),
        "space": {name: one.model_dump(mode="json") for name, one in space.items()},
        "groups.csv or parts.csv": sorted(films[index].case.name for index in held),
    }
    with storage_errors(out):
        open_study(out, facts, resume)
        search = _Search(inside, base, out, dict(space), trials, _threads(parallel))
        base_run = _train(search, "base", base, lambda check: report(0, check) if report else None)
        _run_all(search, parallel, report)
        return _conclude(search, base_run, [films[index] for index in held])


def _threads(parallel: int) -> int | None:
    """Threads of each of several processes; None for one process."""
    return max(1, (os.cpu_count() or 1) // parallel) if parallel > 1 else None


@dataclass(frozen=True)
class _Search:
    dataset: Dataset  # without the held-out films
    base: Recipe
    out: Path
    space: dict[str, Range | Choices]
    trials: int
    threads: int | None


def _hold_back(films: Sequence[Film], seed: int) -> tuple[list[int], list[int]]:
    """Indices of the films to search on, and of the fifth that no trial sees."""
    cases = [film.case for film in films]
    clusters = near_duplicates([thumbnail(film.radiograph.pixels) for film in films])
    shares = [float(film.mask.mean()) for film in films]
    try:
        held = split_folds(cases, clusters, 5, seed, shares)[0]
    except DatasetError:  # its message is about folds, which the caller does not use
        raise DatasetError("tune: needs films of at least 5 patients; add films") from None
    return all_but(held, len(films)), held


def _run_all(search: _Search, parallel: int, report: Report | None) -> None:
    """Run the remaining trials."""
    from optuna.trial import TrialState

    done = study(search.out).get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
    wanting = range(search.trials - len(done))
    if parallel == 1:
        for _ in wanting:
            _run_trial(search, report)
        return
    with workers(parallel, search.out) as pool:
        for ended in as_completed([pool.submit(_run_trial, search) for _ in wanting]):
            last = ended.result()
            if report and last is not None:
                report(*last)


def _run_trial(search: _Search, report: Report | None = None) -> tuple[int, Check] | None:
    """Run one trial; return its number and its last check, if any."""
    if search.threads is not None:
        runtime.train_beside_others(search.threads)
    last: tuple[int, Check] | None = None

    def tell(number: int, check: Check) -> None:
        nonlocal last
        last = number, check
        if report:
            report(number, check)

    trials = study(search.out)
    with muted("optuna", logging.ERROR):
        trials.optimize(lambda trial: _try(search, trial, tell), n_trials=1)
    return last


def _try(search: _Search, trial: Trial, report: Report) -> float:
    """Return the validation Dice of one recipe. Raises TrialPruned where it falls behind."""
    from optuna import TrialPruned

    settings = {name: _suggest(trial, name, one) for name, one in search.space.items()}
    looks = 0

    def look(check: Check) -> None:
        nonlocal looks
        report(trial.number + 1, check)
        if int(check.done * LOOKS) > looks and check.done < 1:
            looks = int(check.done * LOOKS)
            trial.report(check.dice, looks)
            if trial.should_prune():
                raise TrialPruned

    name = _folder(settings)
    try:
        run = _train(search, name, varied(search.base, settings), look)
    except (TrainingError, RecipeError):  # repeated collapse, or incompatible settings:
        # the trial has no score
        raise TrialPruned from None
    except TrialPruned:
        shutil.rmtree(search.out / "trials" / name, ignore_errors=True)
        raise
    return run.assess().summary.mean["dice"]


def _suggest(trial: Trial, name: str, one: Range | Choices) -> Any:
    if isinstance(one, Choices):
        return trial.suggest_categorical(name, one.choices)
    if isinstance(one.low, int) and isinstance(one.high, int):
        return trial.suggest_int(name, one.low, one.high, log=one.log)
    return trial.suggest_float(name, one.low, one.high, log=one.log)


def _folder(settings: Mapping[str, Any]) -> str:
    """Name a trial's folder by its settings, so that an interrupted one is found again."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _train(
    search: _Search, name: str, recipe: Recipe, report: Callable[[Check], None] | None
) -> TrainedRun:
    folder = search.out / "trials" / name
    return train(search.dataset, recipe, folder, resume=True, report=report)


def _conclude(search: _Search, base_run: TrainedRun, held: Sequence[Film]) -> Tuned:
    """Compare the best trial with the base on the held-out films."""
    from optuna.trial import TrialState

    states = (TrialState.COMPLETE, TrialState.PRUNED)
    tried = study(search.out).get_trials(states=states)
    trials = tuple(
        TrialResult(one.number + 1, one.params, one.value, one.state.name.lower())
        if one.state == TrialState.COMPLETE
        else TrialResult(one.number + 1, one.params, None, one.state.name.lower())
        for one in tried
    )
    base = base_run.assess()
    settings: dict[str, Any] = {}
    best_dice = base.summary.mean["dice"]
    for trial in trials:
        if trial.dice is not None and trial.dice > best_dice:
            settings, best_dice = trial.settings, trial.dice
    best, best_run = base, base_run
    if settings:
        best_run = _train(search, _folder(settings), varied(search.base, settings), None)
        best = best_run.assess()
    bundle = save_bundle(search.out / "bundle", best_run.network, best.card)
    theirs = save_bundle(search.out / "trials" / "base" / "bundle", base_run.network, base.card)
    scores = [_scores(Engine(one), held) for one in (theirs, bundle)]
    difference, groups = scores[1] - scores[0], [film.case.group for film in held]
    found = Tuned(
        trials=trials,
        base_dice=base.summary.mean["dice"],
        best_dice=best_dice,
        settings=settings,
        recipe=varied(search.base, settings),
        held_back=len(held),
        held_back_dice=(float(scores[0].mean()), float(scores[1].mean())),
        gain_ci95=bootstrap_ci95(difference, groups=groups),
        p=paired_p(scores[1], scores[0], groups=groups),
        bundle=bundle,
    )
    summary = f"the best of {counted(len(trials), 'trial')}: {found.verdict}"
    text = found.recipe.model_copy(update={"summary": summary}).to_toml()
    document = json.dumps(found.to_json(), indent=2) + "\n"
    for name, content in (("best.toml", text), ("tune.json", document)):
        with whole_file(search.out / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
    return found


def _scores(engine: Engine, films: Sequence[Film]) -> np.ndarray[Any, np.dtype[np.float64]]:
    found = ((engine.segment(film.radiograph), film.mask) for film in films)
    return np.array([score(mask, truth).dice for mask, truth in found])


def _listed(settings: Mapping[str, Any]) -> str:
    def short(value: Any) -> str:
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    return " ".join(f"{key}={short(value)}" for key, value in settings.items())
