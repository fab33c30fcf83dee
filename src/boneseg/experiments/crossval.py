"""Cross-validation: one out-of-fold prediction per film, and an ensemble of the folds.

    result = cross_validate(open_dataset("knees"), load_recipe("default"), "runs/cv")

    RUN/plan.json          the settings: recipe, folds, and a digest of each film
    RUN/folds.csv          the fold in which each film is held out
    RUN/fold-N/            a training run without fold N, its bundle, and fold.json
    RUN/out_of_fold/       the probability (16 bit) and mask of each film from that bundle
    RUN/crossval.json      the metrics
    RUN/bundle/            the ensemble

The best weights and the threshold of a fold are chosen on validation films from its training part,
so that the model that predicts the held-out films has no information about them.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from boneseg._util import runtime
from boneseg._util.files import (
    make_folder,
    own_folder,
    read_bytes,
    read_json,
    sweep,
    whole_file,
    write_table,
)
from boneseg._util.lock import exclusive
from boneseg._util.processes import workers
from boneseg._util.text import listed
from boneseg.bundle.card import CardData
from boneseg.bundle.store import Bundle, load_bundle, load_network, save_bundle, seen_by
from boneseg.dataset.duplicates import near_duplicates, thumbnail
from boneseg.dataset.fingerprint import is_among, joined
from boneseg.dataset.load import Film, fingerprint, fingerprints, read_films, refuse_other
from boneseg.dataset.open import Dataset
from boneseg.dataset.splits import all_but, split_folds, units
from boneseg.errors import DatasetError, TrainingError, UsageError
from boneseg.evaluation.calibration import Calibration, calibrate
from boneseg.evaluation.scores import CaseScores, Scores, Summary, by_part, score, summarise
from boneseg.evaluation.trust import Trust, trust_quality
from boneseg.experiments.crossval_result import CrossValidation, Fold
from boneseg.inference.engine import Engine
from boneseg.masks.formats.png import read_probability, write_mask, write_probability
from boneseg.networks import Ensemble
from boneseg.preprocessing import Floats
from boneseg.recipes.recipe import Recipe
from boneseg.training.components import check_components
from boneseg.training.finetune import starting_from
from boneseg.training.history import Check, read_history
from boneseg.training.train import train

Report = Callable[[int, Check], None]  # the fold, from 1, and a validation check


@dataclass(frozen=True)
class _Task:
    dataset: Dataset
    recipe: Recipe
    out: Path
    number: int
    held: frozenset[str]
    threads: int | None
    init: Bundle | None

    @property
    def folder(self) -> Path:
        return self.out / f"fold-{self.number}"


@exclusive
def cross_validate(
    dataset: Dataset,
    recipe: Recipe,
    out: Path | str,
    *,
    folds: int = 5,
    resume: bool = False,
    parallel: int = 1,
    init: Bundle | None = None,
    report: Report | None = None,
) -> CrossValidation:
    """Train `folds` models, each without the films of one fold, and predict those films with it.

    `run.minutes` and `run.epochs` apply to each fold. With `parallel` above 1, that many folds
    train at once in separate processes that share the cores, and `report` is called once per fold,
    with its last check, when the fold ends, as it is for folds already finished. A fold that keeps
    collapsing is listed in `failed`, and the others are finished. `init` is a warm start of every
    fold; its bundle must not have been trained on any of these films, and is refused where its card
    lists one (older cards list none).

    Raises UsageError for fewer than 2 folds, DatasetError for films that are too few, show no bone,
    or have the name of another film's mask in out_of_fold/, RecipeError for a network that cannot
    be trained on these films, and TrainingError for a run that exists already or whose films have
    changed, a warm-start bundle that was trained on the films, a worker process that was killed, or
    if every fold fails.
    """
    out = Path(out)
    if parallel < 1:
        raise UsageError(f"cannot run {parallel} folds at once; give 1 or more")
    check_components(recipe)
    recipe = starting_from(recipe, init)
    _refuse_clashes(dataset)
    films = read_films(dataset.cases, faults=dataset.faults)
    _refuse_what_has_seen(films, init)
    settled = recipe.settle([film.square_shape for film in films]) if films else recipe
    if films and not any(film.mask.any() for film in films):
        raise DatasetError(f"{dataset.root}: no mask holds any bone; check the masks")
    held = _folds(films, folds, settled.run.seed)
    rows = sorted(
        [film.case.name, number, film.case.group or "", film.case.part or ""]
        for number, indices in enumerate(held, start=1)
        for film in (films[index] for index in indices)
    )
    plan = {
        "films": fingerprints(films),
        "folds": folds,
        "recipe": settled.model_dump(mode="json"),
        "init": init.card.card_sha256 if init else None,
        "dealt": rows,
    }
    _hold_to(plan, out, resume)
    write_table(out / "folds.csv", ["name", "fold", "group", "part"], rows)
    threads = max(1, (os.cpu_count() or 1) // parallel) if parallel > 1 else None
    tasks = [
        _Task(dataset, settled, out, number, _names(films, some), threads, init)
        for number, some in enumerate(held, start=1)
    ]
    failed = _run_all(tasks, parallel, report)
    result = _gather(films, settled, out, len(tasks), failed)
    with whole_file(out / "crossval.json") as temporary:
        temporary.write_text(json.dumps(result.to_json(), indent=2) + "\n", encoding="utf-8")
    return result


def _refuse_what_has_seen(films: Sequence[Film], init: Bundle | None) -> None:
    """Refuse a warm start from a bundle that was trained on some of the films."""
    seen = seen_by(init)
    known = [film.case.name for film in films if is_among(film.radiograph, seen)]
    if init is not None and known:
        raise TrainingError(
            f"{init.path}: was trained on {listed(known)}, which would then not be held out; "
            "start from another bundle"
        )


def _refuse_clashes(dataset: Dataset) -> None:
    """Refuse a film that has the name of another film's predicted mask."""
    names = {case.name for case in dataset.cases}
    for name in sorted(names):
        if f"{name}_mask" in names:
            raise DatasetError(
                f"{dataset.root}: the predicted mask of {name} would have the name of the film "
                f"{name}_mask; rename one of the two"
            )


def _names(films: Sequence[Film], some: Sequence[int]) -> frozenset[str]:
    return frozenset(films[index].case.name for index in some)


def _folds(films: Sequence[Film], count: int, seed: int) -> list[list[int]]:
    cases = [film.case for film in films]
    clusters = near_duplicates([thumbnail(film.radiograph.pixels) for film in films])
    shares = [float(film.mask.mean()) for film in films]
    folds = split_folds(cases, clusters, count, seed, shares)
    for number, indices in enumerate(folds, start=1):
        if not any(films[index].mask.any() for index in indices):
            names = listed([films[index].case.name for index in indices])
            raise DatasetError(
                f"fold {number} would contain only empty masks ({names}); use fewer folds"
            )
        rest = all_but(indices, len(films))
        if len(units([cases[i] for i in rest], [clusters[i] for i in rest])) < 2:
            raise DatasetError(
                f"{count} folds would leave 1 independent film or group to train on, and none to "
                "choose weights on; add films"
            )
    return folds


def _hold_to(plan: dict[str, Any], out: Path, resume: bool) -> None:
    """Write plan.json, or check that the existing one is the same."""
    path = out / "plan.json"
    own_folder(out, path.name, resume)
    sweep(out / "out_of_fold")
    if not path.exists():
        make_folder(out / "out_of_fold", "choose another folder for --out")
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(plan, indent=2) + "\n", encoding="utf-8")
        return
    try:
        refuse_other(plan, read_json(read_bytes(path)), out)
    except (OSError, ValueError, TypeError, AttributeError):
        raise TrainingError(f"{path}: is damaged; start a new run") from None


def _run_all(
    tasks: Sequence[_Task], parallel: int, report: Report | None
) -> tuple[tuple[int, str], ...]:
    """Run every fold and return (fold, reason) of those that failed."""
    failed = []
    if parallel == 1:
        for task in tasks:
            try:
                _run_fold(task, report)
            except TrainingError as error:
                failed.append((task.number, str(error)))
        return tuple(failed)
    with workers(parallel, tasks[0].out) as pool:
        running = {pool.submit(_run_fold, task): task for task in tasks}
        for done in as_completed(running):
            try:
                done.result()
            except TrainingError as error:
                failed.append((running[done].number, str(error)))
            _tell_end(running[done], report)
    return tuple(sorted(failed))


def _tell_end(task: _Task, report: Report | None) -> None:
    """Report the last check of a fold trained in another process or earlier."""
    history = read_history(task.folder / "history.csv")
    if report and history:
        report(task.number, history[-1])


def _run_fold(task: _Task, report: Report | None = None) -> None:
    """Train without the films of one fold and predict them, unless already done."""
    folder = task.folder
    if (folder / "fold.json").exists():
        _tell_end(task, report)
        return
    if task.threads is not None:
        runtime.train_beside_others(task.threads)
    inside = tuple(case for case in task.dataset.cases if case.name not in task.held)
    outside = [case for case in task.dataset.cases if case.name in task.held]

    def tell(check: Check) -> None:
        if report:
            report(task.number, check)

    dataset, init = replace(task.dataset, cases=inside), task.init
    run = train(dataset, task.recipe, folder, resume=True, init=init, report=tell)
    mirrored = (
        task.recipe.augment.flip_horizontal > 0
    )  # otherwise it was not trained on mirrored films
    card = run.assess().card.model_copy(update={"flips": mirrored})
    engine = Engine(save_bundle(folder / "bundle", run.network, card))
    cases, trust = [], []
    for film in read_films(outside):
        found = engine.find(film.radiograph)
        write_probability(task.out / "out_of_fold" / f"{film.case.name}.png", found.probability)
        write_mask(task.out / "out_of_fold" / f"{film.case.name}_mask.png", found.mask)
        scores = score(found.mask, film.mask, film.radiograph.spacing_mm)
        cases.append(CaseScores(film.case.name, scores))
        trust.append(found.trust)
    facts = {
        "cases": [case.to_json() for case in cases],
        "trust": trust,
        "threshold": card.threshold,
        "restarts": run.restarts,
        "seconds": run.history[-1].seconds if run.history else 0.0,
        "parameters": sum(weights.numel() for weights in run.network.parameters()),
    }
    with whole_file(folder / "fold.json") as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _gather(
    films: Sequence[Film],
    recipe: Recipe,
    out: Path,
    count: int,
    failed: tuple[tuple[int, str], ...],
) -> CrossValidation:
    lost = {number for number, _ in failed}
    groups = {film.case.name: film.case.group for film in films}
    folds = tuple(_read_fold(out, n, groups) for n in range(1, count + 1) if n not in lost)
    if not folds:
        raise TrainingError(f"{out}: every fold failed ({failed[0][1]})")
    known = {film.case.name: film for film in films}
    cases = [case for fold in folds for case in fold.cases]
    summary = summarise(sorted(cases, key=lambda case: case.name))
    names = [case.name for case in summary.cases]
    probabilities = [_read_probability(out / "out_of_fold" / f"{name}.png") for name in names]
    calibration = calibrate(probabilities, [known[name].mask for name in names])
    return CrossValidation(
        out=out,
        recipe=recipe,
        fingerprint=fingerprint(films),
        folds=folds,
        failed=failed,
        summary=summary,
        parts=by_part(summary, {name: film.case.part for name, film in known.items()}),
        calibration=calibration,
        trust=_trust(folds),
        bundle=_ensemble(out, folds, summary, calibration, len(films), fingerprint(films)),
        cases={name: film.case for name, film in known.items()},
        bone_share={name: float(film.mask.mean()) for name, film in known.items()},
    )


def _read_fold(out: Path, number: int, groups: Mapping[str, str | None]) -> Fold:
    path = out / f"fold-{number}" / "fold.json"
    try:
        facts = read_json(read_bytes(path))
        cases = [
            CaseScores(c["name"], scores, groups[c["name"]])
            for c in facts["cases"]
            if (scores := Scores.from_json(c)) is not None
        ]
        trust = tuple(_number(value) for value in facts["trust"])
        if not cases or len(trust) != len(cases):
            raise ValueError("of other films")
        rest = {key: facts[key] for key in ("threshold", "restarts", "seconds", "parameters")}
        if None in map(_number, rest.values()):
            raise ValueError("a figure is missing")
        return Fold(number=number, cases=tuple(cases), trust=trust, **rest)
    except (OSError, ValueError, KeyError, TypeError):
        raise TrainingError(f"{path}: is damaged; delete it and --resume") from None


def _number(value: Any) -> Any:
    """A finite number or None, as it is. Raises ValueError."""
    if value is None or (isinstance(value, int | float) and math.isfinite(value)):
        return value
    raise ValueError("no number")


def _trust(folds: Sequence[Fold]) -> Trust | None:
    pairs = [
        (trust, case.scores.dice)
        for fold in folds
        for trust, case in zip(fold.trust, fold.cases, strict=True)
        if trust is not None
    ]
    return trust_quality([t for t, _ in pairs], [d for _, d in pairs])


def _ensemble(
    out: Path,
    folds: Sequence[Fold],
    summary: Summary,
    calibration: Calibration,
    films: int,
    digest: str,
) -> Bundle:
    """Save all folds as one bundle, with the out-of-fold metrics of its single members."""
    members = [load_bundle(out / f"fold-{fold.number}" / "bundle") for fold in folds]
    networks = [load_network(member) for member in members]
    shown = joined(*(seen_by(member) for member in members))
    card = members[0].card.model_copy(
        update={
            "members": len(members),
            "threshold": calibration.threshold,
            "temperature": calibration.temperature,
            "metrics": summary.mean,
            "restarts": sum(fold.restarts for fold in folds),
            "data": CardData(fingerprint=digest, films=films, folds=len(folds), seen=tuple(shown)),
        }
    )
    network = Ensemble(networks).eval() if len(networks) > 1 else networks[0]
    return save_bundle(out / "bundle", network, card)


def _read_probability(path: Path) -> Floats:
    try:
        return read_probability(path)
    except (OSError, ValueError):
        raise TrainingError(f"{path}: is missing or damaged; start a new run") from None
