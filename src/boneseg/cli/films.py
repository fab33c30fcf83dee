"""Verbs for existing films and masks: segment, check, evaluate, convert."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from boneseg._util.console import say, show
from boneseg._util.files import STALE, real_path, sweep
from boneseg._util.text import counted, one_line
from boneseg.cli.arguments import Argument, Option
from boneseg.cli.common import (
    ADVANCED,
    CLUSTER,
    INPUT,
    MODEL,
    OUTPUT,
    Data,
    Images,
    Json,
    KeepNames,
    Labels,
    Masks,
    Model,
    print_json,
    refuse_other_ending,
)
from boneseg.cli.progress import Progress
from boneseg.errors import BonesegError, UsageError

if TYPE_CHECKING:
    from boneseg.dataset.open import Dataset
    from boneseg.evaluation.bones import BonesEvaluation
    from boneseg.evaluation.evaluate import Evaluation
    from boneseg.inference.batch import Result

NAMES = (  # a test compares them with masks.formats.FORMATS, which is slow to import
    "mask, overlay, probability, nrrd, nifti, dicom-seg, dicom-seg-fractional, labelme, yolo, "
    "coco, coco-polygons, cvat, label-studio, measurements, "
    "fragments"
)
Formats = Annotated[
    str,
    Option("--format", help=f"Comma-separated formats: {NAMES}.", panel=OUTPUT),
]
SMALLEST_OVERLAY = 16  # px
OverlaySize = Annotated[
    str,
    Option(
        "--overlay-size",
        help="Longest side of overlays in px, or full (the film's own size).",
        panel=OUTPUT,
    ),
]


def segment(
    inputs: Annotated[
        list[str],
        Argument(help="Films or folders of films; with --cluster, also manifests, patterns, URLs."),
    ],
    out: Annotated[
        str,
        Option(
            help="Output folder for masks and overlays; with --cluster, also a URL.", panel=OUTPUT
        ),
    ],
    model: Model = None,
    formats: Formats = "mask,overlay",
    overlay_size: OverlaySize = "2048",
    bones: Annotated[
        bool,
        Option(
            help="Name the bones: a mask for each, and labels in formats that have them.",
            panel=OUTPUT,
        ),
    ] = False,
    invert: Annotated[bool, Option(help="Invert films that show bone dark.", panel=INPUT)] = False,
    frame: Annotated[
        int | None,
        Option(help="Frame of multi-frame films, from 1.", panel=INPUT),
    ] = None,
    spacing: Annotated[
        float | None,
        Option(
            help="Width of a pixel of all films in mm; replaces calibration.csv and DICOM values.",
            panel=INPUT,
        ),
    ] = None,
    keep_names: KeepNames = False,
    full_resolution: Annotated[
        bool,
        Option(
            "--full-resolution",
            help="Refine large films in a second pass, in tiles at full resolution.",
            panel=ADVANCED,
        ),
    ] = False,
    backend: Annotated[
        str | None,
        Option(
            "--engine",
            help="Inference engine: openvino, onnxruntime or torch (default: automatic).",
            panel=ADVANCED,
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        Option(
            help="Segment an archive on a Ray cluster: local, or HOST:PORT.",
            panel=CLUSTER,
            metavar="ADDRESS",
        ),
    ] = None,
    worker_cores: Annotated[
        int, Option("--worker-cores", help="Cores of each worker.", panel=CLUSTER, min=1)
    ] = 2,
    max_failures: Annotated[
        int | None,
        Option("--max-failures", help="Stop after more failed films.", panel=CLUSTER, min=0),
    ] = None,
    as_json: Json = False,
) -> int:
    """Segment bones in films; write a mask on each film's own pixel grid, and an overlay."""
    from boneseg.radiograph.calibration import believable
    from boneseg.radiograph.film import SPACINGS

    if spacing is not None and not believable(spacing):
        least, most = SPACINGS
        raise UsageError(
            f"--spacing {spacing:g}: give the width of a pixel, {least} to {most:g} mm"
        )
    wanted, overlay_side = chosen_formats("--format", formats), _longest_side(overlay_size)
    if cluster is not None:
        if bones:
            raise UsageError("--bones: is not available with --cluster; omit one of them")
        from boneseg.cli.cluster import segment_on_cluster

        return segment_on_cluster(
            inputs,
            out,
            cluster,
            model=model,
            formats=wanted,
            cores=worker_cores,
            invert=invert,
            frame=frame,
            spacing=spacing,
            full_resolution=full_resolution,
            backend=backend,
            keep_names=keep_names,
            overlay_side=overlay_side,
            max_failures=max_failures,
            as_json=as_json,
        )
    if max_failures is not None:
        raise UsageError("--max-failures: needs --cluster")
    from boneseg.bundle.shipped import bundled
    from boneseg.bundle.store import load_bundle, without_names
    from boneseg.inference.batch import segment_files
    from boneseg.inference.engine import Engine
    from boneseg.radiograph.discovery import find_radiographs

    given, folder = [Path(one) for one in inputs], Path(out)
    films = find_radiographs(given, folder)
    _report_films_in(folder, given, films)
    bundle = load_bundle(model or bundled())
    if bones and bundle.card.bones is None:
        raise without_names(bundle)
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
            if result.verdict in ("review", "unsuitable") and result.reason != result.warning:
                progress.say(f"{result.verdict}: {result.input}: {result.reason}")
            progress.at(number / len(films), f"{result.input}: {_result(result)}")

        results = segment_files(
            films,
            folder,
            engine,
            formats=wanted,
            invert=invert,
            frame=frame,
            keep_names=keep_names,
            overlay_side=overlay_side,
            spacing=spacing,
            bones=bones,
            report=report,
        )
    hidden = sum(result.input != str(path) for result, path in zip(results, films, strict=True))
    if hidden:
        say(
            f"{counted(hidden, 'film')} named by a hash of the content: the file name contains the "
            "patient's name, ID, birth date or accession number; --keep-names keeps it"
        )
    if as_json:
        print_json([asdict(result) for result in results])
    return 1 if any(result.error for result in results) else 0


def _result(result: Result) -> str:
    """A result in a few words."""
    if result.error:
        return "failed"
    view = f"{result.part}, {result.projection}" if result.projection else result.part
    area = f"{result.area_px} px" if result.area_mm2 is None else f"{result.area_mm2:.0f} mm²"
    names = "; " + ", ".join(one.name for one in result.bones) if result.bones else ""
    return f"{area} of bone; {view}; {result.verdict}, trust {result.trust:.2f}{names}"


def _report_films_in(out: Path, inputs: Sequence[Path], films: Sequence[Path]) -> None:
    """Report films skipped because they are in the output folder, unless from an earlier call."""
    from boneseg.inference.batch import REPORT
    from boneseg.radiograph.discovery import find_radiographs

    parents = real_path(out).parents
    if (out / REPORT).exists() or not any(real_path(path) in parents for path in inputs):
        return
    with suppress(BonesegError):  # the folder does not exist yet or holds no film
        known = {real_path(film) for film in films}
        left = [film for film in find_radiographs([out]) if real_path(film) not in known]
        if left:
            say(f"{counted(len(left), 'film')} in {out} skipped: it is the output folder")


def check(
    data: Data = None,
    images: Images = None,
    masks: Masks = None,
    labels: Labels = None,
    sheet: Annotated[
        Path | None,
        Option(help="Contact sheet of overlays to write (PNG).", panel=OUTPUT),
    ] = None,
    keep_names: KeepNames = False,
    as_json: Json = False,
) -> int:
    """Check a dataset of films and masks for problems that would impair training."""
    from boneseg.dataset.audit import check_dataset
    from boneseg.dataset.contact_sheet import contact_sheet
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
            show(
                one_line(": ".join(filter(None, words)))
            )  # problems of the whole dataset have no names
    if sheet is not None:  # after the findings, which are printed even if the sheet fails
        sweep(sheet.parent, older_than=STALE)
        contact_sheet(dataset, sheet, report=found)
    return 0 if found.ok else 1


def evaluate(
    data: Data = None,
    images: Images = None,
    truth: Annotated[
        Path | None,
        Option(help="Folder of reference masks, or one annotation file.", panel=INPUT),
    ] = None,
    labels: Labels = None,
    model: Annotated[
        Path | None,
        Option(help="Model or run folder to evaluate.", panel=MODEL),
    ] = None,
    masks: Annotated[
        Path | None,
        Option(
            help="Folder of masks, or one annotation file, to evaluate instead of a model.",
            panel=MODEL,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        Option(help="CSV file to write, one row per film.", panel=OUTPUT),
    ] = None,
    bones: Annotated[
        bool,
        Option(help="Evaluate each bone by its name: recall, precision and Dice.", panel=MODEL),
    ] = False,
    keep_names: KeepNames = False,
    as_json: Json = False,
) -> int:
    """Evaluate a model, or a folder of masks, against the masks of a dataset."""
    from boneseg.dataset.open import open_dataset
    from boneseg.evaluation.bones import BonesEvaluation, write_bones_csv
    from boneseg.evaluation.evaluate import write_cases_csv

    if (model is None) == (masks is None):
        raise UsageError("evaluate: give either --model BUNDLE or --masks DIR")
    if bones and labels:
        raise UsageError("evaluate: --label selects what is bone; omit it with --bones")
    refuse_other_ending("--out", out, ".csv")
    dataset = open_dataset(
        data, images=images, masks=truth, labels=labels or (), keep_names=keep_names, named=bones
    )
    result = _evaluated(dataset, model, masks, bones=bones)
    for failure in result.failures:
        say(f"error: {failure.reason}")
    if result.seen:
        say(
            f"warning: the model was trained or selected on {len(result.seen)} of "
            f"{counted(len(dataset.cases), 'film')}, so the scores are optimistic; "
            "evaluate it on other films"
        )
    if as_json:
        print_json(result.to_json())
    else:
        show(result.table())
    if out is not None:  # after the scores, which are printed even if the file fails
        sweep(out.parent, older_than=STALE)
        if isinstance(result, BonesEvaluation):
            write_bones_csv(result, out)
        else:
            write_cases_csv(result.summary, out)
    return 1 if result.failures else 0


def _evaluated(
    dataset: Dataset, model: Path | None, masks: Path | None, *, bones: bool
) -> Evaluation | BonesEvaluation:
    """The scores of a model or, without one, of masks."""
    from boneseg.evaluation.bones import evaluate_named_masks, evaluate_naming
    from boneseg.evaluation.evaluate import evaluate_masks, evaluate_model

    if model is None:
        assert masks is not None
        return (evaluate_named_masks if bones else evaluate_masks)(dataset, masks)
    from boneseg.bundle.store import load_bundle, seen_by
    from boneseg.inference.engine import Engine

    bundle = load_bundle(model)
    engine = Engine(bundle)
    if not bones:
        return evaluate_model(dataset, engine.segment, seen_by(bundle))
    engine.check_names()
    return evaluate_naming(dataset, lambda film: engine.find(film).bones, seen_by(bundle))


def convert(
    out: Annotated[Path, Option(help="Output folder for the masks.", panel=OUTPUT)],
    to: Annotated[
        str,
        Option(
            help="Comma-separated formats: png, or those of segment --format.",
            panel=OUTPUT,
        ),
    ],
    data: Data = None,
    images: Images = None,
    masks: Masks = None,
    labels: Labels = None,
    tolerance: Annotated[
        float | None,
        Option(
            help="Largest distance of polygons from the mask outline, px (default: 0.35).",
            panel=ADVANCED,
        ),
    ] = None,
    overlay_size: OverlaySize = "2048",
    keep_names: KeepNames = False,
    as_json: Json = False,
) -> int:
    """Convert the masks of a dataset to other formats, on each film's own pixel grid."""
    from boneseg.dataset.convert import convert_dataset
    from boneseg.dataset.open import open_dataset
    from boneseg.masks.polygons import TOLERANCE

    wanted = chosen_formats("--to", ",".join("mask" if w == "png" else w for w in to.split(",")))
    overlay_side = _longest_side(overlay_size)
    dataset = open_dataset(
        data, images=images, masks=masks, labels=labels or (), keep_names=keep_names
    )
    with Progress("converting") as progress:
        results = convert_dataset(
            dataset,
            out,
            wanted,
            tolerance=TOLERANCE if tolerance is None else tolerance,
            overlay_side=overlay_side,
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


def _longest_side(words: str) -> int | None:
    """Parse --overlay-size: None is the film's own size. Raises UsageError."""
    if words == "full":
        return None
    if not words.isdecimal() or int(words) < SMALLEST_OVERLAY:
        raise UsageError(
            f"--overlay-size {words}: give full, or a number of px from {SMALLEST_OVERLAY}"
        )
    return int(words)


def chosen_formats(option: str, words: str) -> list[str]:
    """Parse a comma-separated list of formats. Raises UsageError for an unknown or empty one."""
    from boneseg.masks.formats import FORMATS

    wanted = list(dict.fromkeys(name.strip() for name in words.split(",") if name.strip()))
    for name in wanted:
        if name not in FORMATS:
            raise UsageError(f"{option} {name}: unknown format; choose from {', '.join(FORMATS)}")
    if not wanted:
        raise UsageError(f"{option}: no format given; choose from {', '.join(FORMATS)}")
    return wanted
