"""Verbs for training: train, crossval, compare, tune, recipes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from boneseg._util import runtime
from boneseg._util.console import say, show
from boneseg._util.cores import available_cores
from boneseg._util.extras import is_installed, require
from boneseg._util.text import counted
from boneseg.cli.arguments import Argument
from boneseg.cli.cluster import task_pool
from boneseg.cli.common import (
    Data,
    Images,
    Json,
    KeepNames,
    Labels,
    Masks,
    WorkerCores,
    opened,
    print_json,
)
from boneseg.cli.progress import Progress
from boneseg.cli.training_options import (
    COMPARED,
    Checkpoints,
    Devices,
    Epochs,
    FoldMinutes,
    Folds,
    HeldOutInit,
    Init,
    Minutes,
    Nodes,
    ParallelFolds,
    ParallelTrials,
    Precision,
    RecipeName,
    RecipeNames,
    Resume,
    RunFolder,
    RunsFolder,
    SearchSpace,
    Settings,
    Storage,
    TaskCluster,
    TrialMinutes,
    Trials,
    TrialsFolder,
    asked_settings,
    run_folder,
)
from boneseg.errors import UsageError

if TYPE_CHECKING:
    from boneseg.bundle.store import Bundle
    from boneseg.recipes.recipe import Recipe
    from boneseg.training.history import Check
    from boneseg.training.placement import Place
    from boneseg.training.run import TrainedRun

PRECISIONS = ("float", "int8")


def train(
    out: RunFolder,
    data: Data = None,
    images: Images = None,
    masks: Masks = None,
    labels: Labels = None,
    recipe: RecipeName = "default",
    settings: Settings = None,
    minutes: Minutes = None,
    epochs: Epochs = None,
    init: Init = None,
    resume: Resume = False,
    devices: Devices = None,
    nodes: Nodes = None,
    precision: Precision = "float",
    keep_names: KeepNames = False,
) -> int:
    """Train a U-Net on films and masks; the model is written to OUT/bundle."""
    _check_precision(precision)
    chosen = _chosen_recipe("train", recipe, settings, minutes, epochs)
    start = _warm_start(init, chosen, settings)
    places = _places(devices, nodes)
    from boneseg.training.train import train as run_training

    dataset = opened(data, images, masks, labels, keep_names, warns=places[0].leads)
    if not places[0].leads:
        run_training(dataset, chosen, out, resume=resume, init=start, places=places)
        return 0
    with run_folder(out, resume):
        with Progress("training") as progress:

            def report(check: Check) -> None:
                words = f"epoch {check.epoch:g}  {_dice(check)}  loss {check.loss:.4f}"
                if check.note:
                    progress.say(f"epoch {check.epoch:g}  {check.note}")
                else:
                    progress.at(check.done, f"{words}  {check.seconds:.0f} s")

            run = run_training(
                dataset, chosen, out, resume=resume, init=start, report=report, places=places
            )
        _save(run, out, precision)
    if run.depths:
        found = ", ".join(f"{depth}: {dice:.4f}" for depth, dice in run.depths.items())
        say(f"Dice when pruned to depth {found}; prune with --resume --set network.depth=N")
    return 0


def crossval(
    out: RunFolder,
    data: Data = None,
    images: Images = None,
    masks: Masks = None,
    labels: Labels = None,
    folds: Folds = 5,
    recipe: RecipeName = "default",
    settings: Settings = None,
    minutes: FoldMinutes = None,
    epochs: Epochs = None,
    init: HeldOutInit = None,
    parallel: ParallelFolds = 1,
    cluster: TaskCluster = None,
    worker_cores: WorkerCores = None,
    checkpoints: Checkpoints = None,
    resume: Resume = False,
    keep_names: KeepNames = False,
    as_json: Json = False,
) -> int:
    """Cross-validate: train and score one model per fold, and build an ensemble of them."""
    chosen = _chosen_recipe("crossval", recipe, settings, minutes, epochs)
    start = _warm_start(init, chosen, settings)
    from boneseg.experiments.crossval import cross_validate
    from boneseg.experiments.crossval_report import write_crossval_report

    dataset = opened(data, images, masks, labels, keep_names)
    pools = task_pool(cluster, parallel, worker_cores, checkpoints)
    with run_folder(out, resume), pools as pool:
        with Progress("cross-validating") as progress:
            behind: dict[int, float] = {}  # progress by fold; folds may finish in any order

            def report(fold: int, check: Check) -> None:
                behind[fold] = check.done
                if check.note:
                    progress.say(f"fold {fold} of {folds}  epoch {check.epoch:g}  {check.note}")
                else:
                    words = f"fold {fold}/{folds}  {_dice(check)}"
                    progress.at(sum(behind.values()) / folds, words)

            result = cross_validate(
                dataset,
                chosen,
                out,
                folds=folds,
                resume=resume,
                pool=pool,
                init=start,
                report=report,
            )
        write_crossval_report(out / "report.html", result)
    for number, reason in result.failed:
        say(f"error: fold {number} failed: {reason}")
    if as_json:
        print_json(result.to_json())
    else:
        show(result.table())
    say(f"ensemble: {result.bundle.path}")
    say(f"tables: {out / 'metrics.csv'}, {out / 'cases.csv'}")
    say(f"report: {out / 'report.html'}")
    return 1 if result.failed else 0


def compare(
    names: RecipeNames,
    out: RunsFolder,
    images: Images = None,
    masks: Masks = None,
    folds: Folds = 5,
    settings: Settings = None,
    minutes: FoldMinutes = None,
    epochs: Epochs = None,
    parallel: ParallelFolds = 1,
    cluster: TaskCluster = None,
    worker_cores: WorkerCores = None,
    checkpoints: Checkpoints = None,
    resume: Resume = False,
    labels: Labels = None,
    keep_names: KeepNames = False,
    as_json: Json = False,
) -> int:
    """Cross-validate recipes on the same folds and test their differences for significance."""
    asked = asked_settings("compare", settings, minutes, epochs)
    from boneseg.experiments.compare import compare_recipes
    from boneseg.experiments.comparison_report import write_compare_report

    data, names = (Path(names[0]), names[1:]) if images is None and masks is None else (None, names)
    dataset = opened(data, images, masks, labels, keep_names)
    pools = task_pool(cluster, parallel, worker_cores, checkpoints)
    with run_folder(out, resume, COMPARED), pools as pool:
        with Progress("comparing") as progress:
            behind: dict[tuple[str, int], float] = {}

            def report(name: str, fold: int, check: Check) -> None:
                behind[name, fold] = check.done
                done = sum(behind.values()) / (folds * len(names))
                progress.at(done, f"{name} fold {fold}/{folds}  {_dice(check)}")

            found = compare_recipes(
                dataset,
                names,
                out,
                folds=folds,
                settings=asked,
                resume=resume,
                pool=pool,
                report=report,
            )
        write_compare_report(out / "report.html", found)
    if as_json:
        print_json(found.document().model_dump())
    else:
        show(found.table())
    say(f"table: {out / 'compare.csv'}")
    say(f"report: {out / 'report.html'}")
    return 1 if any(row.failed_folds for row in found.rows) else 0


def tune(
    out: TrialsFolder,
    data: Data = None,
    images: Images = None,
    masks: Masks = None,
    labels: Labels = None,
    trials: Trials = 20,
    recipe: RecipeName = "default",
    space: SearchSpace = None,
    settings: Settings = None,
    minutes: TrialMinutes = None,
    epochs: Epochs = None,
    parallel: ParallelTrials = 1,
    cluster: TaskCluster = None,
    worker_cores: WorkerCores = None,
    checkpoints: Checkpoints = None,
    storage: Storage = None,
    resume: Resume = False,
    keep_names: KeepNames = False,
    as_json: Json = False,
) -> int:
    """Search for a better recipe; the best is written to OUT/best.toml for train --recipe."""
    from boneseg.recipes.search_space import SPACE, read_space

    chosen = _chosen_recipe("tune", recipe, settings, minutes, epochs)
    asked = read_space(space) if space is not None else SPACE
    from boneseg.experiments.tune import tune_recipe

    dataset = opened(data, images, masks, labels, keep_names)
    if cluster not in (None, "local") and storage is None:
        raise UsageError(f"tune --cluster {cluster}: needs --storage, which the machines share")
    pools = task_pool(cluster, parallel, worker_cores, checkpoints)
    with run_folder(out, resume), pools as pool, Progress("tuning") as progress:
        ended: set[int] = set()

        def report(trial: int, check: Check) -> None:
            words = f"trial {trial}/{trials}  {_dice(check)}"
            behind = trial + check.done
            if trial and not pool.in_process:  # reported when finished, in any order
                ended.add(trial)
                behind = 1 + len(ended)
            progress.at(min(1.0, behind / (trials + 1)), words)

        found = tune_recipe(
            dataset,
            chosen,
            out,
            trials=trials,
            space=asked,
            resume=resume,
            pool=pool,
            storage=storage,
            report=report,
        )
    if as_json:
        print_json(found.to_json())
    else:
        show(found.table())
    say(f"recipe: {out / 'best.toml'}")
    say(f"model: {found.bundle.path}")
    return 0


def recipes(
    name: Annotated[str | None, Argument(help="Recipe to print in full.")] = None,
) -> int:
    """List the built-in recipes, or print one with comments."""
    from boneseg.recipes.builtin import BUILT_IN, load_recipe

    if name is None:
        for known, recipe in BUILT_IN.items():
            print(f"{known:<25} {recipe.summary}")
    else:
        print(load_recipe(name).to_toml(_component_comments()), end="")
    return 0


def _component_comments() -> dict[str, str]:
    """The networks, losses, optimisers and schedules to choose from; none without torch."""
    if not is_installed("torch"):
        return {}
    from boneseg.training.components import component_comments

    return component_comments()


def _check_precision(precision: str) -> None:
    """Fail before training, not after."""
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision}: choose from {', '.join(PRECISIONS)}")
    if precision == "int8":
        require("nncf")


def _places(devices: int | None, nodes: int | None) -> Sequence[Place]:
    """The places of this process and of those that it starts, and settings for them."""
    from boneseg.training.placement import places_of

    places = places_of(os.environ, devices, nodes)
    if len(places) > 1:
        runtime.train_beside_others(max(1, available_cores() // len(places)))
    if places[0].count > 1:
        runtime.talk_to(places[0].host)
    return places


def _save(run: TrainedRun, out: Path, precision: str) -> None:
    """Write the bundle and the report of a run, and say where they are."""
    from boneseg.bundle.store import save_bundle
    from boneseg.training.report import write_report

    judged = run.assess()
    bundle = save_bundle(out / "bundle", run.network, judged.card)
    write_report(out / "report.html", run, judged.card, judged.summary, judged.masks)
    films = counted(len(run.validation), "film")
    say(f"validation Dice {bundle.card.metrics['dice']:.4f} on {films}; model: {bundle.path}")
    if precision == "int8":
        say(_quantised(bundle, run))
    say(f"report: {out / 'report.html'}")


def _dice(check: Check) -> str:
    """Dice in a line of progress: tables at the end have that of other films, or of the best epoch.

    It goes before what a narrow terminal may cut.
    """
    return f"validation Dice {check.dice:.4f}"


def _quantised(bundle: Bundle, run: TrainedRun) -> str:
    """Quantise a bundle to int8; return a line with the result."""
    from boneseg.training.quantise import quantise

    found = quantise(bundle, run.training, run.validation)
    change = f"validation Dice {found.int8_dice:.4f} instead of {found.dice:.4f}"
    return f"int8: {change}; {'used' if found.kept else 'not used: loss of Dice too large'}"


def _warm_start(init: Path | None, recipe: Recipe, settings: list[str] | None) -> Bundle | None:
    """The model to start from. Raises UsageError where a setting contradicts its network."""
    from boneseg.bundle.store import load_bundle
    from boneseg.training.finetune import refuse_other_network

    start = load_bundle(init) if init is not None else None
    refuse_other_network(recipe, settings or (), start)
    return start


def _chosen_recipe(
    verb: str, name: str, settings: list[str] | None, minutes: float | None, epochs: int | None
) -> Recipe:
    from boneseg.recipes.builtin import load_recipe

    return load_recipe(name).with_settings(asked_settings(verb, settings, minutes, epochs))
