"""Verbs that generate films: simulate, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from boneseg._util.console import say, show
from boneseg._util.text import counted
from boneseg.cli.arguments import Option
from boneseg.cli.common import ADVANCED, INPUT, OUTPUT, say_if_nothing_to_resume
from boneseg.cli.progress import Progress
from boneseg.errors import UsageError

OPTIONS_OF_KIND = {
    "skeleton": "--meshes, --model, --region, --organs and --each-bone",
    "ct": "--ct, --labels and --bones",
}


def simulate(
    out: Annotated[
        Path,
        Option(
            help="Output folder for images/, masks/, hidden/ (except of phantoms) and the tables "
            "parts.csv, views.csv and simulated.csv.",
            panel=OUTPUT,
        ),
    ],
    count: Annotated[int, Option(help="Number of films.", panel=OUTPUT)],
    kind: Annotated[str, Option(help="Source: phantom, skeleton or ct.", panel=INPUT)] = "phantom",
    meshes: Annotated[
        Path | None,
        Option(help="For skeleton: folder of bone meshes.", panel=INPUT),
    ] = None,
    model: Annotated[
        list[Path] | None,
        Option(
            help="For skeleton: OpenSim model (.osim) that poses the bones; repeatable.",
            panel=INPUT,
        ),
    ] = None,
    region: Annotated[
        str | None,
        Option(help="For skeleton: simulate only this body part (default: all).", panel=INPUT),
    ] = None,
    organs: Annotated[
        Path | None,
        Option(
            help="For skeleton: folder of organ meshes (glTF) for the trunk.",
            panel=INPUT,
        ),
    ] = None,
    each_bone: Annotated[
        bool,
        Option(
            "--each-bone",
            help="For skeleton: also write the mask of each bone to bones/ (NumPy .npz).",
            panel=OUTPUT,
        ),
    ] = False,
    ct: Annotated[Path | None, Option(help="For ct: CT volume (NIfTI).", panel=INPUT)] = None,
    labels: Annotated[
        Path | None,
        Option(help="For ct: label volume of the CT (NIfTI).", panel=INPUT),
    ] = None,
    bones: Annotated[
        str,
        Option(
            help="For ct: label numbers of bone, e.g. 25-50,69 (default: all labels).",
            panel=INPUT,
        ),
    ] = "",
    seed: Annotated[
        int,
        Option(help="Random seed of the first film.", panel=ADVANCED),
    ] = 0,
    size: Annotated[int, Option(help="Height and width in pixels.", panel=OUTPUT)] = 256,
    parallel: Annotated[int, Option(help="Number of parallel processes.", panel=ADVANCED)] = 1,
    resume: Annotated[
        bool,
        Option("--resume", help="Resume an interrupted simulation.", panel=ADVANCED),
    ] = False,
) -> int:
    """Generate simulated films with exact bone masks."""
    from boneseg.simulate import CtSource, PhantomSource, SkeletonSource, Source
    from boneseg.simulate import simulate as simulate_films
    from boneseg.simulate.generate import FINISHED, UNFINISHED

    of_skeleton = (meshes, model, region, organs, each_bone)
    _check_options(kind, skeleton=of_skeleton, ct=(ct, labels, bones))
    source: Source
    if kind == "phantom":
        source = PhantomSource()
    elif kind == "skeleton":
        if meshes is None:
            raise UsageError("simulate --kind skeleton: give --meshes, a folder of bone meshes")
        source = SkeletonSource(meshes, tuple(model or ()), region, organs, each_bone)
    elif kind == "ct":
        if ct is None or labels is None:
            raise UsageError("simulate --kind ct: give --ct and --labels, two NIfTI volumes")
        source = CtSource(ct, labels, _label_numbers(bones))
    else:
        raise UsageError(f"simulate --kind {kind}: unknown; choose from phantom, skeleton, ct")
    say_if_nothing_to_resume(resume, out, (UNFINISHED, FINISHED))
    with Progress("simulating") as progress:
        simulate_films(
            out,
            count,
            source=source,
            seed=seed,
            size=(size, size),
            parallel=parallel,
            resume=resume,
            progress=lambda done, all_: progress.at(done / all_, f"{done} of {all_} films"),
        )
    say(f"{counted(count, 'film')} in {out}")
    return 0


def demo(
    out: Annotated[Path, Option(help="Output folder; must be new or empty.")] = Path("demo"),
    minutes: Annotated[float, Option(help="Training time in minutes.")] = 1.0,
) -> int:
    """Run a demonstration on simulated films: segment, evaluate and train."""
    from boneseg.cli.demo import demonstrate, dice_words

    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UsageError(f"{out}: is not an empty folder; choose another --out or remove it")
    if minutes <= 0:
        raise UsageError(f"--minutes {minutes:g}: give a time above 0")
    found = demonstrate(out, minutes=minutes, say=say)
    print("on 24 simulated films that neither model was trained on:")
    print(f"  {dice_words(found.bundled)}  bundled model, the default of segment")
    print(f"  {dice_words(found.trained)}  model trained in this demo for {minutes:g} min")
    show(f"samples:  {found.samples}")
    show(f"overlays: {found.overlays}")
    show(f"model:    {found.bundle}")
    show(f"report:   {found.report}")
    return 0


def _check_options(kind: str, **options: tuple[object, ...]) -> None:
    """Raise UsageError for options of another kind, which would be ignored silently."""
    for other, given in options.items():
        if kind != other and any(given):
            raise UsageError(
                f"simulate: {OPTIONS_OF_KIND[other]} require --kind {other}; add it or omit them"
            )


def _label_numbers(text: str) -> tuple[int, ...] | None:
    """Parse a list such as 25-50,69; return None for an empty one."""
    numbers: list[int] = []
    try:
        for part in filter(None, text.replace(" ", "").split(",")):
            first, _, last = part.partition("-")
            labels = range(int(first), int(last or first) + 1)
            if not labels:
                raise ValueError
            numbers += labels
    except ValueError:
        raise UsageError(f"--bones {text}: give numbers and ranges, e.g. 25-50,69") from None
    if text and not numbers:
        raise UsageError(f"--bones {text}: contains no label; give labels, e.g. 25-50,69")
    if 0 in numbers:
        raise UsageError(f"--bones {text}: 0 is the unlabelled background; omit it")
    return tuple(numbers) or None
