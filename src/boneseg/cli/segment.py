"""Segment films, here or on a cluster."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from boneseg._util.console import say
from boneseg._util.files import real_path
from boneseg._util.text import counted
from boneseg.cli.arguments import Argument, Option
from boneseg.cli.common import (
    ADVANCED,
    CLUSTER,
    INPUT,
    OUTPUT,
    Formats,
    Json,
    KeepNames,
    Model,
    OverlaySize,
    WorkerCores,
    check_without_cluster,
    chosen_formats,
    closing_line,
    longest_side,
    print_json,
)
from boneseg.cli.progress import Progress
from boneseg.errors import BonesegError, UsageError

if TYPE_CHECKING:
    from boneseg.inference.batch import Result
    from boneseg.inference.engine import Engine


USUAL = "mask,overlay"


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
    formats: Formats = USUAL,
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
    worker_cores: WorkerCores = None,
    max_failures: Annotated[
        int | None,
        Option("--max-failures", help="Stop after more failed films.", panel=CLUSTER, min=0),
    ] = None,
    as_json: Json = False,
) -> int:
    """Segment bones in films; write a mask on each film's own pixel grid, and an overlay."""
    if spacing is not None:
        from boneseg.radiograph.calibration import check_width

        check_width(spacing, "--spacing")
    overlay_side = longest_side(overlay_size)
    if cluster is not None:
        if bones:
            raise UsageError("--bones: is not available with --cluster; omit one of them")
        from boneseg.cli.cluster import segment_on_cluster

        return segment_on_cluster(
            inputs,
            out,
            cluster,
            model=model,
            formats=chosen_formats("--format", formats),
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
    check_without_cluster({"--max-failures": max_failures, "--worker-cores": worker_cores})
    # The usual ones need no check: what it imports can wait until networks are being loaded.
    wanted = USUAL.split(",") if formats == USUAL else chosen_formats("--format", formats)
    given, folder = [Path(one) for one in inputs], Path(out)
    films, engine = _films_and_engine(
        given, folder, model, backend, full_resolution=full_resolution, bones=bones
    )
    from boneseg.inference.batch import segment_files  # while networks are loaded

    _report_films_in(folder, given, films)
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
            line = f"{result.input}: {_result(result)}"
            progress.at(number / len(films), line, whole=len(films) == 1 and not result.error)

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
            "patient's name, ID, birth date or accession number, or the header is damaged and "
            "could not be compared; --keep-names keeps it"
        )
    if spacing is None:  # else no table is used
        _report_unused_rows(films, hides_names=bool(hidden))
    say(_summary(results, folder))
    if as_json:
        print_json([asdict(result) for result in results])
    return 1 if any(result.error for result in results) else 0


def _films_and_engine(
    given: Sequence[Path],
    out: Path,
    model: Path | None,
    backend: str | None,
    *,
    full_resolution: bool,
    bones: bool,
) -> tuple[list[Path], Engine]:
    """The films to segment, and an engine that is loading its networks for them."""
    from boneseg.bundle.shipped import bundled
    from boneseg.bundle.store import load_bundle, without_names

    if len(given) == 1 and given[0].is_file():  # imports nothing before networks are loaded
        films = list(given)
    else:
        from boneseg.radiograph.discovery import find_radiographs

        films = find_radiographs(given, out)
    bundle = load_bundle(model or bundled())
    if bones and bundle.card.bones is None:
        raise without_names(bundle)
    from boneseg.inference.engine import Engine

    engine = Engine(bundle, backend=backend, full_resolution=full_resolution, at_once=len(films))
    engine.load()
    return films, engine


def _summary(results: Sequence[Result], folder: Path) -> str:
    """What all results come to, with the number of films of each verdict."""
    verdicts = Counter(result.verdict for result in results if not result.error)
    found = [f"{verdicts[one]} {one}" for one in ("good", "review", "unsuitable") if verdicts[one]]
    return closing_line("segmented", verdicts.total(), len(results), folder, ", ".join(found))


def _result(result: Result) -> str:
    """A result in a few words."""
    if result.error:
        return "failed"
    view = f"{result.part}, {result.projection}" if result.projection else result.part
    area = f"{result.area_px} px" if result.area_mm2 is None else f"{result.area_mm2:.0f} mm²"
    names = "; " + ", ".join(one.name for one in result.bones) if result.bones else ""
    return f"{area} of bone; {view}; {result.verdict}, trust {result.trust:.2f}{names}"


def _report_unused_rows(films: Sequence[Path], *, hides_names: bool) -> None:
    """Report rows of calibration.csv without a film; a name there may identify the patient, too."""
    from boneseg.radiograph.calibration import rows_without_film

    for table, names in rows_without_film(films).items():
        from boneseg.dataset.tables import without_film  # few calls need it

        say(f"warning: {without_film(table, names, hides_names=hides_names)}")


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
