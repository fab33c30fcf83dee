"""Verbs for films and masks that are there: segment, check, evaluate."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from boneseg._util.console import say
from boneseg._util.files import STALE, sweep
from boneseg._util.text import counted
from boneseg.cli.common import (
    Data,
    Images,
    Json,
    KeepNames,
    Labels,
    Masks,
    print_json,
    refuse_other_ending,
)
from boneseg.cli.progress import Progress
from boneseg.errors import BonesegError, UsageError

NAMES = (  # a test holds them against writers.FORMATS, which would be slow to import here
    "mask, overlay, probability, nrrd, nifti, dicom-seg, dicom-seg-fractional, labelme, yolo, "
    "coco, coco-polygons, cvat, label-studio, measurements"
)
Formats = Annotated[str, typer.Option("--format", help=f"Commas between: {NAMES}.")]


def segment(
    inputs: Annotated[list[Path], typer.Argument(help="Films, or folders of films.")],
    out: Annotated[Path, typer.Option(help="Where masks and overlays go.")],
    model: Annotated[
        Path | None, typer.Option(help="A bundle, or its run; else the model that ships.")
    ] = None,
    formats: Formats = "mask,overlay",
    invert: Annotated[bool, typer.Option(help="The films show bone dark.")] = False,
    frame: Annotated[int | None, typer.Option(help="Which of several frames, from 1.")] = None,
    keep_names: KeepNames = False,
    full_resolution: Annotated[
        bool, typer.Option("--full-resolution", help="Look at large films twice: closer, in tiles.")
    ] = False,
    backend: Annotated[
        str | None, typer.Option("--engine", help="openvino, onnxruntime, torch; else what suits.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Find the bones in films: a mask and an overlay each, on the film's own pixel grid."""
    from boneseg.bundle.store import bundled, load_bundle
    from boneseg.inference.batch import Result, segment_files
    from boneseg.inference.engine import Engine
    from boneseg.radiograph.read import find_radiographs

    wanted = chosen_formats("--format", formats)
    films = find_radiographs(inputs, out)
    _tell_of_films_in(out, inputs, films)
    bundle = load_bundle(model or bundled())
    engine = Engine(bundle, backend=backend, full_resolution=full_resolution, at_once=len(films))
    counter = itertools.count(1)
    with Progress("segmenting") as progress:

        def report(result: Result) -> None:
            number = next(counter)
            if number == 1:
                progress.say(f"engine: {engine.name}")
            if result.error:
                progress.say(f"error: {result.error}")
            if result.warning:
                progress.say(f"warning: {result.input}: {result.warning}")
            words = "failed" if result.error else f"{result.area_px} px of bone"
            progress.at(number / len(films), f"{result.input}: {words}")

        results = segment_files(
            films,
            out,
            engine,
            formats=wanted,
            invert=invert,
            frame=frame,
            keep_names=keep_names,
            report=report,
        )
    hidden = sum(result.input != str(path) for result, path in zip(results, films, strict=True))
    if hidden:
        say(
            f"{counted(hidden, 'film')} called by a hash of the content, for the name holds the "
            "patient's name, ID, birth date or accession number; --keep-names keeps it"
        )
    if as_json:
        print_json([asdict(result) for result in results])
    return 1 if any(result.error for result in results) else 0


def _tell_of_films_in(out: Path, inputs: Sequence[Path], films: Sequence[Path]) -> None:
    """Say which films lie in the output folder, and are passed over; but for an earlier call's."""
    from boneseg.inference.batch import REPORT
    from boneseg.radiograph.read import find_radiographs

    parents = out.resolve().parents
    if (out / REPORT).exists() or not any(path.resolve() in parents for path in inputs):
        return
    with suppress(BonesegError):  # there is no such folder yet, or no film in it
        known = {film.resolve() for film in films}
        left = [film for film in find_radiographs([out]) if film.resolve() not in known]
        if left:
            say(f"{counted(len(left), 'film')} in {out} passed over, for the masks go there")


def check(
    data: Data = None,
    images: Images = None,
    masks: Masks = None,
    labels: Labels = None,
    sheet: Annotated[Path | None, typer.Option(help="A contact sheet of overlays, PNG.")] = None,
    keep_names: KeepNames = False,
    as_json: Json = False,
) -> int:
    """Name what would spoil training on a folder of films and masks."""
    from boneseg.dataset.audit import check_dataset, contact_sheet
    from boneseg.dataset.open import open_dataset

    refuse_other_ending("--sheet", sheet, ".png")
    dataset = open_dataset(
        data, images=images, masks=masks, labels=labels or (), keep_names=keep_names
    )
    found = check_dataset(dataset)
    if as_json:
        print_json(found.to_json())
    else:
        numbers = (found.films, "film"), (found.masks, "mask"), (found.cases, "pair")
        print(", ".join(counted(number, noun) for number, noun in numbers))
        if found.bone_share is not None:
            low, middle, high = found.bone_share
            print(f"bone: {low:.1%} to {high:.1%} of a film, median {middle:.1%}")
        print(counted(len(found.problems), "problem"))
        for problem in found.problems:
            weight = "error" if problem.serious else "warning"
            words = weight, problem.kind, ", ".join(problem.names), problem.detail
            print(": ".join(filter(None, words)))  # what is of no film has no names
    if sheet is not None:  # after what was found, which is told whatever becomes of the sheet
        sweep(sheet.parent, older_than=STALE)
        contact_sheet(dataset, sheet, report=found)
    return 0 if found.ok else 1


def evaluate(
    data: Data = None,
    images: Images = None,
    truth: Masks = None,
    labels: Labels = None,
    model: Annotated[Path | None, typer.Option(help="A bundle to score,")] = None,
    masks: Annotated[
        Path | None, typer.Option(help="or a folder of masks to score, or a file of all.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A CSV with a row for each film.")] = None,
    keep_names: KeepNames = False,
    as_json: Json = False,
) -> int:
    """Score a model, or masks, against the masks of a dataset."""
    from boneseg.dataset.open import open_dataset
    from boneseg.evaluation.evaluate import evaluate_masks, evaluate_model, write_cases_csv

    if (model is None) == (masks is None):
        raise UsageError("evaluate: give either --model BUNDLE or --masks DIR")
    refuse_other_ending("--out", out, ".csv")
    dataset = open_dataset(
        data, images=images, masks=truth, labels=labels or (), keep_names=keep_names
    )
    if model is not None:
        from boneseg.bundle.store import load_bundle, seen_by
        from boneseg.inference.engine import Engine

        bundle = load_bundle(model)
        result = evaluate_model(dataset, Engine(bundle).segment, seen_by(bundle))
    elif masks is not None:
        result = evaluate_masks(dataset, masks)
    for failure in result.failures:
        say(f"error: {failure.reason}")
    if result.seen:
        say(
            f"warning: the model was trained on {len(result.seen)} of "
            f"{counted(len(result.summary.cases), 'film')}, or chosen by them, which flatters it; "
            "score it on others"
        )
    if as_json:
        print_json(result.to_json())
    else:
        print(result.table())
    if out is not None:  # after the figures, which are told whatever becomes of the table
        sweep(out.parent, older_than=STALE)
        write_cases_csv(result.summary, out)
    return 1 if result.failures else 0


def convert(
    out: Annotated[Path, typer.Option(help="Where the masks go.")],
    to: Annotated[str, typer.Option(help="png, or any of the formats that segment writes.")],
    data: Data = None,
    images: Images = None,
    masks: Masks = None,
    labels: Labels = None,
    tolerance: Annotated[
        float | None, typer.Option(help="px that polygons may stray from the mask; fewer points.")
    ] = None,
    keep_names: KeepNames = False,
    as_json: Json = False,
) -> int:
    """Write the masks of a dataset in other formats, each on its film's own pixel grid."""
    from boneseg.dataset.convert import convert_dataset
    from boneseg.dataset.open import open_dataset
    from boneseg.masks.polygons import TOLERANCE

    wanted = chosen_formats("--to", ",".join("mask" if w == "png" else w for w in to.split(",")))
    dataset = open_dataset(
        data, images=images, masks=masks, labels=labels or (), keep_names=keep_names
    )
    with Progress("converting") as progress:
        results = convert_dataset(
            dataset,
            out,
            wanted,
            tolerance=TOLERANCE if tolerance is None else tolerance,
            keep_names=keep_names,
            report=lambda done, name: progress.at(done, name),
        )
    for result in results:
        if result.error:
            say(f"error: {result.error}")
        for kind, reason in result.skipped.items():
            say(f"warning: {result.name}: {kind} is skipped: {reason}")
    if as_json:
        print_json([asdict(result) for result in results])
    return 1 if any(result.error for result in results) else 0


def chosen_formats(option: str, words: str) -> list[str]:
    """The formats that an option names with commas between. Raises UsageError."""
    from boneseg.masks.formats import FORMATS

    wanted = list(dict.fromkeys(name.strip() for name in words.split(",") if name.strip()))
    for name in wanted:
        if name not in FORMATS:
            raise UsageError(f"{option} {name}: is not known; choose from {', '.join(FORMATS)}")
    if not wanted:
        raise UsageError(f"{option}: names nothing; choose from {', '.join(FORMATS)}")
    return wanted
