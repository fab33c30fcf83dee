"""Cross-validation: one out-of-fold prediction per film, and an ensemble of the folds.

    result = cross_validate(open_dataset("knees"), load_recipe("default"), "runs/cv")

    RUN/plan.json          the settings: recipe, folds, and a digest of each film
    RUN/folds.csv          the fold in which each film is held out
    RUN/fold-N/            a training run without fold N, its bundle, and fold.json
    RUN/out_of_fold/       the probability (16 bit) and mask of each film from that bundle
    RUN/crossval.json      the metrics
    RUN/metrics.csv        the mean, standard deviation and 95 % interval of each metric
    RUN/cases.csv          every score of every film
    RUN/bundle/            the ensemble

The best weights and the threshold of a fold are chosen on validation films from its training part,
so that the model that predicts the held-out films has no information about them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from boneseg._util.files import make_folder, own_folder, sweep, write_table
from boneseg._util.lock import exclusive
from boneseg._util.pools import Pool, local_pool
from boneseg._util.text import listed
from boneseg.bundle.card import CardData
from boneseg.bundle.store import Bundle, load_bundle, load_network, save_bundle, seen_by
from boneseg.dataset.fingerprint import joined
from boneseg.dataset.load import IN_MEMORY, Films, fingerprint, load_films
from boneseg.dataset.open import Dataset
from boneseg.dataset.splits import all_but, split_folds, units
from boneseg.errors import DatasetError, TrainingError
from boneseg.evaluation.calibration import Calibration, calibrate
from boneseg.evaluation.scores import Summary, by_part, summarise
from boneseg.evaluation.tables import write_cases_csv, write_metrics_csv
from boneseg.evaluation.trust import Trust, trust_quality
from boneseg.experiments.crossval_result import CrossValidation, Fold
from boneseg.experiments.fold import (
    OUT_OF_FOLD,
    FoldTask,
    Report,
    fold_folder,
    read_fold,
    report_end,
    run_fold,
)
from boneseg.masks.formats.png import read_probability
from boneseg.networks import Ensemble
from boneseg.preprocessing import Floats
from boneseg.recipes.recipe import Recipe, SettledRecipe
from boneseg.training.components import check_components
from boneseg.training.finetune import starting_from
from boneseg.training.run_folder import Plan, check_unchanged

Failure = tuple[int, str]  # the fold, and the reason


class FoldRow(NamedTuple):
    """A row of folds.csv."""

    name: str
    fold: int  # from 1
    group: str
    part: str


class CrossvalPlan(Plan):
    """The content of plan.json."""

    folds: int = Field(title="number of folds")
    recipe: SettledRecipe
    init: str | None = Field(None, title="model (--init)")  # SHA-256 of its card
    rows: tuple[FoldRow, ...] = Field(title="groups.csv or parts.csv")

    @classmethod
    def upgraded(cls, content: dict[str, object]) -> dict[str, object]:
        if "dealt" in content:
            content["rows"] = content.pop("dealt")
        return content


@exclusive
def cross_validate(
    data: Dataset | Films,
    recipe: Recipe,
    out: Path | str,
    *,
    folds: int = 5,
    resume: bool = False,
    parallel: int = 1,
    pool: Pool | None = None,
    init: Bundle | None = None,
    report: Report | None = None,
) -> CrossValidation:
    """Train `folds` models, each without the films of one fold, and predict those films with it.

    `run.minutes` and `run.epochs` apply to each fold. With `parallel` above 1, that many folds
    train at once in separate processes that share the cores, and `report` is called once per fold,
    with its last check, when the fold ends, as it is for folds already finished. A `pool` runs the
    folds elsewhere, such as on a cluster, instead. A fold that keeps collapsing is listed in
    `failed`, and the others are finished. `init` is a warm start of every fold; its bundle must not
    have been trained on any of these films, and is refused where its card lists one (older cards
    list none).

    Raises UsageError for fewer than 2 folds, DatasetError for films that are too few, show no bone,
    or have the name of another film's mask in out_of_fold/, RecipeError for a network that cannot
    be trained on these films, and TrainingError for a run that exists already or whose films have
    changed, a warm-start bundle that was trained on the films, a worker process that was killed, or
    if every fold fails.
    """
    out, pool = Path(out), pool or local_pool(parallel)
    check_components(recipe)
    recipe = starting_from(recipe, init)
    _refuse_clashes(data)
    films = load_films(data, out, in_memory=0 if pool.shares_files else IN_MEMORY)
    _refuse_seen(films, init)
    held_out = _folds(films, folds, recipe.run.seed)
    settled = recipe.settle(films.shapes)
    plan = CrossvalPlan(
        films=films.fingerprints,
        folds=folds,
        recipe=settled,
        init=init.card.card_sha256 if init else None,
        rows=_rows(films, held_out),
    )
    _start(plan, out, resume)
    tasks = [
        FoldTask(number, tuple(indices), settled, pool.threads, init)
        for number, indices in enumerate(held_out, start=1)
    ]
    failed = _run_all(films, tasks, out, pool, report)
    result = _gather(films, settled, out, len(tasks), failed)
    result.document().write(out / "crossval.json")
    write_metrics_csv(result.summary, out / "metrics.csv")
    write_cases_csv(result.summary, out / "cases.csv")
    return result


def _refuse_seen(films: Films, init: Bundle | None) -> None:
    """Refuse a warm start from a bundle that was trained on some of the films."""
    seen = seen_by(init)
    known = [film.case.name for film in films if film.digest in seen]
    if init is not None and known:
        raise TrainingError(
            f"{init.path}: was trained on {listed(known)}, which would then not be held out; "
            "start from another bundle"
        )


def _refuse_clashes(data: Dataset | Films) -> None:
    """Refuse a film that has the name of another film's predicted mask."""
    names = {case.name for case in data.cases}
    for name in sorted(names):
        if f"{name}_mask" in names:
            raise DatasetError(
                f"{data.root}: the predicted mask of {name} would have the name of the film "
                f"{name}_mask; rename one of the two"
            )


def _folds(films: Films, count: int, seed: int) -> list[list[int]]:
    """The indices of the films of each fold. Raises UsageError and DatasetError."""
    cases, clusters, shares = films.cases, films.clusters, films.bone_shares
    if films and not any(shares):
        raise DatasetError(f"{films.root}: no mask contains bone; check the masks")
    folds = split_folds(cases, clusters, count, seed, shares)
    for number, indices in enumerate(folds, start=1):
        if not any(shares[index] for index in indices):
            names = listed([cases[index].name for index in indices])
            raise DatasetError(
                f"fold {number} would contain only empty masks ({names}); use fewer folds"
            )
        rest = films.part(all_but(indices, len(films)))
        if len(units(rest.cases, rest.clusters)) < 2:
            raise DatasetError(
                f"{count} folds would leave 1 independent film or group to train on, and none to "
                "choose weights on; add films"
            )
    return folds


def _rows(films: Films, folds: Sequence[Sequence[int]]) -> tuple[FoldRow, ...]:
    """The rows of folds.csv, in order of name."""
    rows = [
        FoldRow(case.name, number, case.group or "", case.part or "")
        for number, indices in enumerate(folds, start=1)
        for case in films.part(indices).cases
    ]
    return tuple(sorted(rows))


def _start(plan: CrossvalPlan, out: Path, resume: bool) -> None:
    """Write plan.json and folds.csv, or check that the existing plan is the same."""
    path = out / "plan.json"
    own_folder(out, path.name, resume)
    sweep(out / OUT_OF_FOLD)
    if path.exists():
        try:
            before = CrossvalPlan.read(path)
        except (OSError, ValueError, TypeError):
            raise TrainingError(f"{path}: is damaged; start a new run") from None
        check_unchanged(plan, before, out)
    else:
        make_folder(out / OUT_OF_FOLD, "choose another folder for --out")
        plan.write(path)
    write_table(out / "folds.csv", FoldRow._fields, plan.rows)


def _run_all(
    films: Films, tasks: Sequence[FoldTask], out: Path, pool: Pool, report: Report | None
) -> tuple[Failure, ...]:
    """Run the folds that are not done, and return those that failed."""
    finished = [task for task in tasks if (out / task.record).exists()]
    for task in finished:
        report_end(task, out, report)
    function = partial(run_fold, report=report) if pool.in_process else run_fold
    failed = []
    for task, error in pool.run(function, films, [t for t in tasks if t not in finished], out):
        if error is not None:
            failed.append((task.number, str(error)))
        if not pool.in_process:
            report_end(task, out, report)
    return tuple(sorted(failed))


def _gather(
    films: Films, recipe: SettledRecipe, out: Path, count: int, failed: tuple[Failure, ...]
) -> CrossValidation:
    """Read the finished folds, and compute the metrics over all films."""
    lost = {number for number, _ in failed}
    folds = tuple(read_fold(out, n, films) for n in range(1, count + 1) if n not in lost)
    if not folds:
        raise TrainingError(f"{out}: every fold failed ({failed[0][1]})")
    cases = [case for fold in folds for case in fold.cases]
    summary = summarise(sorted(cases, key=lambda case: case.name))
    calibration = _calibrated(out, summary, films)
    return CrossValidation(
        out=out,
        recipe=recipe,
        fingerprint=fingerprint(films),
        folds=folds,
        failed=failed,
        summary=summary,
        parts=by_part(summary, {case.name: case.part for case in films.cases}),
        calibration=calibration,
        trust=_trust(folds),
        bundle=_ensemble(out, folds, summary, calibration, films),
        films={film.case.name: film for film in films},
    )


def _calibrated(out: Path, summary: Summary, films: Films) -> Calibration:
    """Fit threshold and temperature to the out-of-fold predictions."""
    masks = {film.case.name: film.mask for film in films}
    names = [case.name for case in summary.cases]
    probabilities = [_read_probability(out / OUT_OF_FOLD / f"{name}.png") for name in names]
    return calibrate(probabilities, [masks[name] for name in names])


def _trust(folds: Sequence[Fold]) -> Trust | None:
    pairs = [
        (trust, case.scores.dice)
        for fold in folds
        for trust, case in zip(fold.trust, fold.cases, strict=True)
        if trust is not None
    ]
    return trust_quality([t for t, _ in pairs], [d for _, d in pairs])


def _ensemble(
    out: Path, folds: Sequence[Fold], summary: Summary, calibration: Calibration, films: Films
) -> Bundle:
    """Save all folds as one bundle, with the out-of-fold metrics of its single members."""
    members = [load_bundle(fold_folder(out, fold.number) / "bundle") for fold in folds]
    networks = [load_network(member) for member in members]
    data = CardData(
        fingerprint=fingerprint(films),
        films=len(films),
        folds=len(folds),
        seen=tuple(joined(*(seen_by(member) for member in members))),
    )
    card = replace(
        members[0].card,
        members=len(members),
        threshold=calibration.threshold,
        temperature=calibration.temperature,
        metrics=summary.mean,
        restarts=sum(fold.restarts for fold in folds),
        data=data,
    )
    network = Ensemble(networks).eval() if len(networks) > 1 else networks[0]
    return save_bundle(out / "bundle", network, card)


def _read_probability(path: Path) -> Floats:
    try:
        return read_probability(path)
    except (OSError, ValueError):
        raise TrainingError(f"{path}: is missing or damaged; start a new run") from None
