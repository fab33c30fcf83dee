"""Verbs that train: train, crossval, compare, tune; and the recipes they take."""

from __future__ import annotations

import math
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boneseg._util.console import say
from boneseg._util.lock import sole_writer
from boneseg._util.text import counted
from boneseg.cli.common import Data, Images, Json, KeepNames, Labels, Masks, print_json
from boneseg.cli.progress import Progress
from boneseg.errors import UsageError

if TYPE_CHECKING:
    from boneseg.bundle.store import Bundle
    from boneseg.recipes.recipe import Recipe
    from boneseg.training.run import TrainedRun

PRECISIONS = ("float", "int8")

Init = Annotated[
    Path | None,
    typer.Option(help="A bundle to start from, whose network is kept; bundled is ours."),
]


def train(
    out: Annotated[Path, typer.Option(help="The run's folder.")],
    data: Data = None,
    images: Images = None,
    masks: Masks = None,
    labels: Labels = None,
    recipe: Annotated[str, typer.Option(help="A built-in recipe, or a TOML file.")] = "default",
    settings: Annotated[list[str] | None, typer.Option("--set", help="section.key=value")] = None,
    minutes: Annotated[float | None, typer.Option(help="Train as well as these allow.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Or so many passes.")] = None,
    init: Init = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after a kill.")] = False,
    precision: Annotated[
        str, typer.Option(help="Of the bundle; int8 where that is as good.")
    ] = "float",
    keep_names: KeepNames = False,
) -> int:
    """Train a U-Net on films and their masks; the model goes to OUT/bundle."""
    from boneseg.bundle.store import load_bundle, refuse_other_network, save_bundle
    from boneseg.dataset.open import open_dataset
    from boneseg.report.training import write_report
    from boneseg.training.history import Check
    from boneseg.training.train import train as run_training

    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision}: choose from {', '.join(PRECISIONS)}")
    if precision == "int8" and find_spec("nncf") is None:  # or it would be told after the training
        raise ModuleNotFoundError(name="nncf")
    chosen = _chosen_recipe("train", recipe, settings, minutes, epochs)
    start = load_bundle(init) if init is not None else None
    refuse_other_network(chosen, settings or (), start)
    dataset = open_dataset(
        data, images=images, masks=masks, labels=labels or (), keep_names=keep_names
    )
    with sole_writer(out):
        with Progress("training") as progress:

            def report(check: Check) -> None:
                words = f"epoch {check.epoch:g}  loss {check.loss:.4f}  Dice {check.dice:.4f}"
                if check.note:
                    progress.say(f"epoch {check.epoch:g}  {check.note}")
                else:
                    progress.at(check.done, f"{words}  {check.seconds:.0f} s")

            run = run_training(dataset, chosen, out, resume=resume, init=start, report=report)
        judged = run.assess()
        bundle = save_bundle(out / "bundle", run.network, judged.card)
        write_report(out / "report.html", run, judged.card, judged.summary, judged.masks)
        dice = bundle.card.metrics["dice"]
        films = counted(len(run.validation), "film")
        say(f"validation Dice {dice:.4f} on {films}; the model: {bundle.path}")
        if precision == "int8":
            say(_quantised(bundle, run))
        say(f"the report: {out / 'report.html'}")
    if run.depths:
        found = ", ".join(f"{depth}: {dice:.4f}" for depth, dice in run.depths.items())
        say(f"Dice when cut at depth {found}; cut it with --resume --set network.depth=N")
    return 0


def crossval(
    out: Annotated[Path, typer.Option(help="The run's folder.")],
    data: Data = None,
    images: Images = None,
    masks: Masks = None,
    labels: Labels = None,
    folds: Annotated[int, typer.Option(help="How many.")] = 5,
    recipe: Annotated[str, typer.Option(help="A built-in recipe, or a TOML file.")] = "default",
    settings: Annotated[list[str] | None, typer.Option("--set", help="section.key=value")] = None,
    minutes: Annotated[float | None, typer.Option(help="Of training for each fold,")] = None,
    epochs: Annotated[int | None, typer.Option(help="or so many passes.")] = None,
    init: Annotated[
        Path | None,
        typer.Option(help="A bundle of other films, to start from; its network is kept."),
    ] = None,
    parallel: Annotated[int, typer.Option(help="Folds trained at once.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after a kill.")] = False,
    keep_names: KeepNames = False,
    as_json: Json = False,
) -> int:
    """Train a model for each fold, score it on the films it never saw, and join them in one."""
    from boneseg.bundle.store import load_bundle, refuse_other_network
    from boneseg.dataset.open import open_dataset
    from boneseg.experiments.crossval import cross_validate
    from boneseg.report.crossval import write_crossval_report
    from boneseg.training.history import Check

    chosen = _chosen_recipe("crossval", recipe, settings, minutes, epochs)
    start = load_bundle(init) if init is not None else None
    refuse_other_network(chosen, settings or (), start)
    dataset = open_dataset(
        data, images=images, masks=masks, labels=labels or (), keep_names=keep_names
    )
    with sole_writer(out):
        with Progress("cross-validating") as progress:
            behind: dict[int, float] = {}  # of each fold: they may end in any order

            def report(fold: int, check: Check) -> None:
                behind[fold] = check.done
                if check.note:
                    progress.say(f"fold {fold} of {folds}  epoch {check.epoch:g}  {check.note}")
                else:
                    words = f"fold {fold} of {folds}  Dice {check.dice:.4f}"
                    progress.at(sum(behind.values()) / folds, words)

            result = cross_validate(
                dataset,
                chosen,
                out,
                folds=folds,
                resume=resume,
                parallel=parallel,
                init=start,
                report=report,
            )
        write_crossval_report(out / "report.html", result)
    for number, reason in result.failed:
        say(f"error: fold {number} failed: {reason}")
    if as_json:
        print_json(result.to_json())
    else:
        print(result.table())
    say(f"the ensemble: {result.bundle.path}")
    say(f"the report: {out / 'report.html'}")
    return 1 if result.failed else 0


def compare(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="[DATA] RECIPE...",
            help="A folder of images/ and masks/, unless --images is given; two recipes or more.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder of all runs.")],
    images: Images = None,
    masks: Masks = None,
    folds: Annotated[int, typer.Option(help="How many.")] = 5,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Over every recipe.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Of training for each fold,")] = None,
    epochs: Annotated[int | None, typer.Option(help="or so many passes.")] = None,
    parallel: Annotated[int, typer.Option(help="Folds trained at once.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after a kill.")] = False,
    labels: Labels = None,
    keep_names: KeepNames = False,
    as_json: Json = False,
) -> int:
    """Cross-validate recipes on the same folds and say which differences are no chance."""
    from boneseg.dataset.open import open_dataset
    from boneseg.experiments.compare import compare_recipes
    from boneseg.report.comparison import write_compare_report
    from boneseg.training.history import Check

    asked = _asked_settings("compare", settings, minutes, epochs)
    data, names = (Path(names[0]), names[1:]) if images is None and masks is None else (None, names)
    dataset = open_dataset(
        data, images=images, masks=masks, labels=labels or (), keep_names=keep_names
    )
    with sole_writer(out):
        with Progress("comparing") as progress:
            behind: dict[tuple[str, int], float] = {}

            def report(name: str, fold: int, check: Check) -> None:
                behind[name, fold] = check.done
                done = sum(behind.values()) / (folds * len(names))
                progress.at(done, f"{name} fold {fold} of {folds}  Dice {check.dice:.4f}")

            found = compare_recipes(
                dataset,
                names,
                out,
                folds=folds,
                settings=asked,
                resume=resume,
                parallel=parallel,
                report=report,
            )
        write_compare_report(out / "report.html", found)
    if as_json:
        print_json(asdict(found))
    else:
        print(found.table())
    say(f"the report: {out / 'report.html'}")
    return 1 if any(row.failed_folds for row in found.rows) else 0


def tune(
    out: Annotated[Path, typer.Option(help="The folder of all trials.")],
    data: Data = None,
    images: Images = None,
    masks: Masks = None,
    labels: Labels = None,
    trials: Annotated[int, typer.Option(help="How many recipes to try.")] = 20,
    recipe: Annotated[str, typer.Option(help="The one to start from.")] = "default",
    space: Annotated[Path | None, typer.Option(help="What to vary, TOML.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Over every trial.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Of training for each trial,")] = None,
    epochs: Annotated[int | None, typer.Option(help="or so many passes.")] = None,
    parallel: Annotated[int, typer.Option(help="Trials at once.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after a kill.")] = False,
    keep_names: KeepNames = False,
    as_json: Json = False,
) -> int:
    """Search for a better recipe on your films; OUT/best.toml is for train --recipe."""
    from boneseg.dataset.open import open_dataset
    from boneseg.experiments.tune import tune_recipe
    from boneseg.recipes.search_space import SPACE, read_space
    from boneseg.training.history import Check

    chosen = _chosen_recipe("tune", recipe, settings, minutes, epochs)
    asked = read_space(space) if space is not None else SPACE
    dataset = open_dataset(
        data, images=images, masks=masks, labels=labels or (), keep_names=keep_names
    )
    with Progress("tuning") as progress:
        ended: set[int] = set()

        def report(trial: int, check: Check) -> None:
            words = f"trial {trial} of {trials}  Dice {check.dice:.4f}"
            behind = trial + check.done
            if trial and parallel > 1:  # told when it ends, in any order
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
            parallel=parallel,
            report=report,
        )
    if as_json:
        print_json(found.to_json())
    else:
        print(found.table())
    say(f"the recipe: {out / 'best.toml'}")
    say(f"the model: {found.bundle.path}")
    return 0


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this one whole.")] = None,
) -> int:
    """List the built-in recipes, or print one with its comments."""
    from boneseg.recipes.builtin import BUILT_IN, load_recipe

    if name is None:
        for known, recipe in BUILT_IN.items():
            print(f"{known:<25} {recipe.summary}")
    else:
        print(load_recipe(name).to_toml(), end="")
    return 0


def _quantised(bundle: Bundle, run: TrainedRun) -> str:
    """Quantise a bundle, and say how that went."""
    from boneseg.training.quantise import quantise

    found = quantise(bundle, run.training, run.validation)
    change = f"validation Dice {found.int8_dice:.4f} instead of {found.dice:.4f}"
    return f"int8: {change}; {'it is used' if found.kept else 'too far off, and left out'}"


def _chosen_recipe(
    verb: str, name: str, settings: list[str] | None, minutes: float | None, epochs: int | None
) -> Recipe:
    from boneseg.recipes.builtin import load_recipe

    return load_recipe(name).with_settings(_asked_settings(verb, settings, minutes, epochs))


def _asked_settings(
    verb: str, settings: list[str] | None, minutes: float | None, epochs: int | None
) -> list[str]:
    if minutes is not None and epochs is not None:
        raise UsageError(f"{verb}: give either --minutes or --epochs")
    if not (minutes is None or 0 < minutes < math.inf) or not (epochs is None or epochs > 0):
        raise UsageError(f"{verb}: give --minutes or --epochs above 0")
    asked = list(settings or [])
    asked += [f"run.minutes={minutes}"] if minutes is not None else []
    asked += [f"run.epochs={epochs}"] if epochs is not None else []
    return asked
