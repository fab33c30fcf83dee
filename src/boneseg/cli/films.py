"""Verbs for existing masks: check, evaluate, convert."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from boneseg._util.console import say, show
from boneseg._util.files import STALE, sweep
from boneseg._util.text import counted, one_line
from boneseg.cli.arguments import Option
from boneseg.cli.common import (
    ADVANCED,
    INPUT,
    MODEL,
    OUTPUT,
    Data,
    Images,
    Json,
    KeepNames,
    Labels,
    Masks,
    OverlaySize,
    chosen_formats,
    closing_line,
    longest_side,
    opened,
    print_json,
    refuse_other_ending,
)
from boneseg.cli.progress import Progress
from boneseg.errors import UsageError

if TYPE_CHECKING:
    from boneseg.bundle.store import Bundle
    from boneseg.dataset.open import Dataset
    from boneseg.evaluation.bones import BonesEvaluation
    from boneseg.evaluation.evaluate import Evaluation


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
    from boneseg.dataset.open import survey_dataset

    refuse_other_ending("--sheet", sheet, ".png")
    dataset = survey_dataset(
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
        Option(help="Model or run folder to evaluate, or 'bundled'.", panel=MODEL),
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
    from boneseg.bundle.store import load_bundle, without_names
    from boneseg.evaluation.bones import BonesEvaluation, write_bones_csv
    from boneseg.evaluation.tables import write_cases_csv

    if (model is None) == (masks is None):
        raise UsageError(
            "evaluate: give either --model BUNDLE or --masks DIR; the reference masks are those of "
            "DATA, or --truth"
        )
    if bones and labels:
        raise UsageError("evaluate: --label selects what is bone; omit it with --bones")
    refuse_other_ending("--out", out, ".csv")
    bundle = None if model is None else load_bundle(model)
    if bones and bundle is not None and bundle.card.bones is None:
        raise without_names(bundle)  # whatever the masks are
    dataset = opened(data, images, truth, labels, keep_names, named=bones)
    result = _evaluated(dataset, bundle, masks, bones=bones)
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
    dataset: Dataset, bundle: Bundle | None, masks: Path | None, *, bones: bool
) -> Evaluation | BonesEvaluation:
    """The scores of a model or, without one, of masks."""
    from boneseg.evaluation.bones import evaluate_named_masks, evaluate_naming
    from boneseg.evaluation.evaluate import evaluate_masks, evaluate_model

    if bundle is None:
        assert masks is not None
        return (evaluate_named_masks if bones else evaluate_masks)(dataset, masks)
    from boneseg.bundle.store import seen_by
    from boneseg.inference.engine import Engine

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
            help="Comma-separated formats: those of segment --format, such as png.",
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
    from boneseg.masks.polygons import TOLERANCE

    wanted = chosen_formats("--to", to)
    overlay_side = longest_side(overlay_size)
    dataset = opened(data, images, masks, labels, keep_names)
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
    done = sum(result.error is None for result in results)
    unpaired = len(dataset.unpaired_images)
    unread = len(results) - (dataset.films - unpaired)  # results of files that are of no film
    line = closing_line(
        "converted", done, dataset.films, out, unpaired=unpaired, unread=max(0, unread)
    )
    say(line)
    if as_json:
        print_json([asdict(result) for result in results])
    return 1 if any(result.error for result in results) else 0
