"""The verbs: each reads its arguments, calls one function, and prints."""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.exceptions import TyperException

from boneseg.errors import BonesegError, UsageError
from boneseg.progress import Progress, say
from boneseg.words import counted

if TYPE_CHECKING:
    from boneseg.recipe import Recipe

app = typer.Typer(
    name="boneseg",
    help="Finds the bones in X-ray radiographs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

STOPPED = 130  # the exit status after Ctrl-C
RESUMABLE = ("train", "crossval", "compare", "tune")

Data = Annotated[Path | None, typer.Argument(help="A folder with images/ and masks/;")]
Images = Annotated[Path | None, typer.Option(help="or a folder of films")]
Masks = Annotated[Path | None, typer.Option(help="and one of their masks.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@app.command()
def segment(
    inputs: Annotated[list[Path], typer.Argument(help="Films, or folders of films.")],
    out: Annotated[Path, typer.Option(help="Where masks and overlays go.")],
    model: Annotated[
        Path | None, typer.Option(help="A bundle, or its run; else the model that ships.")
    ] = None,
    formats: Annotated[str, typer.Option("--format", help="mask, overlay")] = "mask,overlay",
    invert: Annotated[bool, typer.Option(help="The films show bone dark.")] = False,
    frame: Annotated[int | None, typer.Option(help="Which of several frames, from 1.")] = None,
    as_json: Json = False,
) -> int:
    """Find the bones in films: a mask and an overlay each, on the film's own pixel grid."""
    from boneseg.bundle import bundled, load_bundle
    from boneseg.engine import Engine
    from boneseg.radiograph import find_radiographs
    from boneseg.segment import FORMATS, Result, segment_files

    wanted = [name.strip() for name in formats.split(",") if name.strip()]
    for name in wanted:
        if name not in FORMATS:
            raise UsageError(f"--format {name}: is not known; choose from {', '.join(FORMATS)}")
    if not wanted:
        raise UsageError(f"--format: names nothing; choose from {', '.join(FORMATS)}")

    films = find_radiographs(inputs, out)
    engine = Engine(load_bundle(model or bundled()))
    counter = itertools.count(1)
    with Progress("segmenting") as progress:

        def report(result: Result) -> None:
            if result.error:
                progress.say(f"error: {result.error}")
            words = "failed" if result.error else f"{result.area_px} px of bone"
            progress.at(next(counter) / len(films), f"{result.input}: {words}")

        results = segment_files(
            films, out, engine, formats=wanted, invert=invert, frame=frame, report=report
        )
    if as_json:
        _print_json([asdict(result) for result in results])
    return 1 if any(result.error for result in results) else 0


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="The run's folder.")],
    data: Data = None,
    images: Images = None,
    masks: Masks = None,
    recipe: Annotated[str, typer.Option(help="A built-in recipe, or a TOML file.")] = "default",
    settings: Annotated[list[str] | None, typer.Option("--set", help="section.key=value")] = None,
    minutes: Annotated[float | None, typer.Option(help="Train as well as these allow.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Or so many passes.")] = None,
    init: Annotated[Path | None, typer.Option(help="A bundle whose weights to start from.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after a kill.")] = False,
) -> int:
    """Train a U-Net on films and their masks; the model goes to OUT/bundle."""
    from boneseg.bundle import load_bundle, save_bundle
    from boneseg.calibrate import judge
    from boneseg.dataset import open_dataset
    from boneseg.history import Check
    from boneseg.report.page import write_report
    from boneseg.training import train as run_training

    chosen = _recipe("train", recipe, settings, minutes, epochs)
    start = load_bundle(init) if init is not None else None
    dataset = open_dataset(data, images=images, masks=masks)
    with Progress("training") as progress:

        def report(check: Check) -> None:
            words = f"epoch {check.epoch:g}  loss {check.loss:.4f}  Dice {check.dice:.4f}"
            progress.at(check.done, f"{words}  {check.seconds:.0f} s  {check.note}".rstrip())

        run = run_training(dataset, chosen, out, resume=resume, init=start, report=report)
    judged = judge(run)
    bundle = save_bundle(out / "bundle", run.network, judged.card)
    write_report(out / "report.html", run, judged.card, judged.summary, judged.masks)
    dice = bundle.card.metrics["dice"]
    films = counted(len(run.validation), "film")
    say(f"validation Dice {dice:.4f} on {films}; the model: {bundle.path}")
    say(f"the report: {out / 'report.html'}")
    if run.depths:
        found = ", ".join(f"{depth}: {dice:.4f}" for depth, dice in run.depths.items())
        say(f"Dice when cut at depth {found}; cut it with --resume --set network.depth=N")
    return 0


@app.command()
def crossval(
    out: Annotated[Path, typer.Option(help="The run's folder.")],
    data: Data = None,
    images: Images = None,
    masks: Masks = None,
    folds: Annotated[int, typer.Option(help="How many.")] = 5,
    recipe: Annotated[str, typer.Option(help="A built-in recipe, or a TOML file.")] = "default",
    settings: Annotated[list[str] | None, typer.Option("--set", help="section.key=value")] = None,
    minutes: Annotated[float | None, typer.Option(help="Of training for each fold,")] = None,
    epochs: Annotated[int | None, typer.Option(help="or so many passes.")] = None,
    parallel: Annotated[int, typer.Option(help="Folds trained at once.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after a kill.")] = False,
    as_json: Json = False,
) -> int:
    """Train a model for each fold, score it on the films it never saw, and join them in one."""
    from boneseg.crossval import cross_validate
    from boneseg.dataset import open_dataset
    from boneseg.history import Check
    from boneseg.report.crossval import write_crossval_report

    chosen = _recipe("crossval", recipe, settings, minutes, epochs)
    dataset = open_dataset(data, images=images, masks=masks)
    with Progress("cross-validating") as progress:
        behind: dict[int, float] = {}  # of each fold: they may end in any order

        def report(fold: int, check: Check) -> None:
            behind[fold] = check.done
            words = f"fold {fold} of {folds}  Dice {check.dice:.4f}  {check.note}".rstrip()
            progress.at(sum(behind.values()) / folds, words)

        result = cross_validate(
            dataset, chosen, out, folds=folds, resume=resume, parallel=parallel, report=report
        )
    write_crossval_report(out / "report.html", result)
    for number, reason in result.failed:
        say(f"error: fold {number} failed: {reason}")
    if as_json:
        _print_json(result.to_json())
    else:
        print(result.table())
    say(f"the ensemble: {result.bundle.path}")
    say(f"the report: {out / 'report.html'}")
    return 1 if result.failed else 0


@app.command()
def compare(
    data: Annotated[Path, typer.Argument(help="A folder with images/ and masks/.")],
    names: Annotated[list[str], typer.Argument(metavar="RECIPE...", help="Two or more.")],
    out: Annotated[Path, typer.Option(help="The folder of all runs.")],
    folds: Annotated[int, typer.Option(help="How many.")] = 5,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Over every recipe.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Of training for each fold,")] = None,
    epochs: Annotated[int | None, typer.Option(help="or so many passes.")] = None,
    parallel: Annotated[int, typer.Option(help="Folds trained at once.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after a kill.")] = False,
    as_json: Json = False,
) -> int:
    """Cross-validate recipes on the same folds and say which differences are no chance."""
    from boneseg.compare import compare_recipes
    from boneseg.dataset import open_dataset
    from boneseg.history import Check
    from boneseg.report.compare import write_compare_report

    asked = _asked("compare", settings, minutes, epochs)
    dataset = open_dataset(data)
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
        _print_json(asdict(found))
    else:
        print(found.table())
    say(f"the report: {out / 'report.html'}")
    return 1 if any(row.failed_folds for row in found.rows) else 0


@app.command()
def tune(
    out: Annotated[Path, typer.Option(help="The folder of all trials.")],
    data: Data = None,
    images: Images = None,
    masks: Masks = None,
    trials: Annotated[int, typer.Option(help="How many recipes to try.")] = 20,
    recipe: Annotated[str, typer.Option(help="The one to start from.")] = "default",
    space: Annotated[Path | None, typer.Option(help="What to vary, TOML.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Over every trial.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Of training for each trial,")] = None,
    epochs: Annotated[int | None, typer.Option(help="or so many passes.")] = None,
    parallel: Annotated[int, typer.Option(help="Trials at once.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after a kill.")] = False,
    as_json: Json = False,
) -> int:
    """Search for a better recipe on your films; OUT/best.toml is for train --recipe."""
    from boneseg.dataset import open_dataset
    from boneseg.history import Check
    from boneseg.space import SPACE, read_space
    from boneseg.tune import tune_recipe

    chosen = _recipe("tune", recipe, settings, minutes, epochs)
    asked = read_space(space) if space is not None else SPACE
    dataset = open_dataset(data, images=images, masks=masks)
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
        _print_json(found.to_json())
    else:
        print(found.table())
    say(f"the recipe: {out / 'best.toml'}")
    say(f"the model: {found.bundle.path}")
    return 0


@app.command()
def evaluate(
    data: Data = None,
    images: Images = None,
    truth: Masks = None,
    model: Annotated[Path | None, typer.Option(help="A bundle to score,")] = None,
    masks: Annotated[Path | None, typer.Option(help="or a folder of masks to score.")] = None,
    out: Annotated[Path | None, typer.Option(help="A CSV with a row for each film.")] = None,
    as_json: Json = False,
) -> int:
    """Score a model, or masks, against the masks of a dataset."""
    from boneseg.dataset import open_dataset
    from boneseg.evaluate import evaluate_masks, evaluate_model, write_cases_csv

    if (model is None) == (masks is None):
        raise UsageError("evaluate: give either --model BUNDLE or --masks DIR")
    dataset = open_dataset(data, images=images, masks=truth)
    if model is not None:
        from boneseg.bundle import load_bundle
        from boneseg.engine import Engine

        result = evaluate_model(dataset, Engine(load_bundle(model)).segment)
    elif masks is not None:
        result = evaluate_masks(dataset, masks)
    for failure in result.failures:
        say(f"error: {failure.reason}")
    if out is not None:
        write_cases_csv(result.summary, out)
    if as_json:
        _print_json(result.to_json())
    else:
        print(result.table())
    return 1 if result.failures else 0


@app.command()
def check(
    data: Data = None,
    images: Images = None,
    masks: Masks = None,
    sheet: Annotated[Path | None, typer.Option(help="A contact sheet of overlays, PNG.")] = None,
    as_json: Json = False,
) -> int:
    """Name what would spoil training on a folder of films and masks."""
    from boneseg.check import check_dataset, contact_sheet
    from boneseg.dataset import open_dataset

    dataset = open_dataset(data, images=images, masks=masks)
    found = check_dataset(dataset)
    if sheet is not None:
        contact_sheet(dataset, sheet, report=found)
    if as_json:
        _print_json(found.to_json())
    else:
        numbers = (found.films, "film"), (found.masks, "mask"), (found.cases, "pair")
        print(", ".join(counted(number, noun) for number, noun in numbers))
        if found.bone_share is not None:
            low, middle, high = found.bone_share
            print(f"bone: {low:.1%} to {high:.1%} of a film, median {middle:.1%}")
        print(counted(len(found.problems), "problem"))
        for problem in found.problems:
            weight = "error" if problem.serious else "warning"
            print(f"{weight}: {problem.kind}: {', '.join(problem.names)}: {problem.detail}")
    return 0 if found.ok else 1


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Where images/ and masks/ go.")],
    count: Annotated[int, typer.Option(help="How many films.")],
    kind: Annotated[str, typer.Option(help="phantom, skeleton, ct")] = "phantom",
    meshes: Annotated[
        Path | None, typer.Option(help="skeleton: a folder of bone surfaces,")
    ] = None,
    model: Annotated[
        list[Path] | None, typer.Option(help="and OpenSim models (.osim) that pose them.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="skeleton: of this part alone.")] = None,
    ct: Annotated[Path | None, typer.Option(help="ct: a volume, NIfTI,")] = None,
    labels: Annotated[Path | None, typer.Option(help="its labels,")] = None,
    bones: Annotated[str, typer.Option(help="and those of bone, as 25-50,69; else all.")] = "",
    seed: Annotated[int, typer.Option(help="The first film's.")] = 0,
    size: Annotated[int, typer.Option(help="Height and width, px.")] = 256,
    parallel: Annotated[int, typer.Option(help="Processes at once.")] = 1,
) -> int:
    """Make films with exact bone masks."""
    from boneseg.simulate import CtSource, PhantomSource, SkeletonSource, Source
    from boneseg.simulate import simulate as make

    source: Source = PhantomSource()
    if kind == "skeleton":
        if meshes is None:
            raise UsageError("simulate --kind skeleton: give --meshes, a folder of bone surfaces")
        source = SkeletonSource(meshes, tuple(model or ()), region)
    elif kind == "ct":
        if ct is None or labels is None:
            raise UsageError("simulate --kind ct: give --ct and --labels, two NIfTI volumes")
        source = CtSource(ct, labels, _label_numbers(bones))
    elif kind != "phantom":
        raise UsageError(f"no kind of simulation is called '{kind}': use phantom, skeleton or ct")
    with Progress("simulating") as progress:
        make(
            out,
            count,
            source=source,
            seed=seed,
            size=(size, size),
            parallel=parallel,
            progress=lambda done, all_: progress.at(done / all_, f"{done} of {all_} films"),
        )
    say(f"{count} films in {out}")
    return 0


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this one whole.")] = None,
) -> int:
    """List the built-in recipes, or print one with its comments."""
    from boneseg.recipes import BUILT_IN, load_recipe

    if name is None:
        for known, recipe in BUILT_IN.items():
            print(f"{known:<25} {recipe.summary}")
    else:
        print(load_recipe(name).to_toml(), end="")
    return 0


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="A new folder.")] = Path("demo"),
    minutes: Annotated[float, typer.Option(help="How long to train.")] = 1.0,
) -> int:
    """Find bones with the model that ships; then make films, train on them, and score others."""
    from boneseg.demo import demonstrate

    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UsageError(f"{out}: is a file, or holds some; choose another --out or remove it")
    done = demonstrate(out, minutes=minutes, say=say)
    dice, low_high = done.summary.mean["dice"], done.summary.ci95["dice"]
    print(f"Dice {dice:.3f} (95 % {low_high[0]:.3f} to {low_high[1]:.3f}) on 24 unseen films")
    print(f"samples:  {done.samples}")
    print(f"overlays: {done.overlays}")
    print(f"model:    {done.bundle}")
    print(f"report:   {done.report}")
    return 0


def main() -> None:
    """The command: prints one line for an error, and exits with its status."""
    try:
        status = app(standalone_mode=False)
    except BonesegError as error:
        say(f"error: {error}")
        status = error.exit_status
    except OSError as error:  # of a path that no room has looked at yet: forbidden, or too long
        say(f"error: {error.filename or 'a file'}: {error.strerror or error}; check the path")
        status = 1
    except (typer.Abort, KeyboardInterrupt):
        status = STOPPED
    except TyperException as error:
        say(f"error: {getattr(error, 'format_message', error.__str__)()}; see boneseg --help")
        status = 2
    if status == STOPPED:  # typer makes an exit status of Ctrl-C, and says nothing
        verb = next(iter(sys.argv[1:]), "")
        say("stopped; go on with --resume" if verb in RESUMABLE else "stopped")
    sys.exit(status)


def _label_numbers(text: str) -> tuple[int, ...] | None:
    """The numbers of a list like 25-50,69; None for an empty one."""
    numbers: list[int] = []
    try:
        for part in filter(None, text.replace(" ", "").split(",")):
            first, _, last = part.partition("-")
            numbers += range(int(first), int(last or first) + 1)
    except ValueError:
        raise UsageError(f"--bones {text}: write numbers and ranges, as 25-50,69") from None
    return tuple(numbers) or None


def _recipe(
    verb: str, name: str, settings: list[str] | None, minutes: float | None, epochs: int | None
) -> Recipe:
    from boneseg.recipes import load_recipe

    return load_recipe(name).with_settings(_asked(verb, settings, minutes, epochs))


def _asked(
    verb: str, settings: list[str] | None, minutes: float | None, epochs: int | None
) -> list[str]:
    if minutes is not None and epochs is not None:
        raise UsageError(f"{verb}: give either --minutes or --epochs")
    asked = list(settings or [])
    asked += [f"run.minutes={minutes}"] if minutes is not None else []
    asked += [f"run.epochs={epochs}"] if epochs is not None else []
    return asked


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2))
