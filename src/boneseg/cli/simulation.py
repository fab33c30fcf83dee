"""Verbs that make films: simulate, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boneseg._util.console import say
from boneseg._util.text import counted
from boneseg.cli.progress import Progress
from boneseg.errors import UsageError

OF_KIND = {
    "skeleton": "--meshes, --model, --region and --organs",
    "ct": "--ct, --labels and --bones",
}


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
    organs: Annotated[
        Path | None, typer.Option(help="skeleton: a folder of organ meshes (glTF) for its trunk.")
    ] = None,
    ct: Annotated[Path | None, typer.Option(help="ct: a volume, NIfTI,")] = None,
    labels: Annotated[Path | None, typer.Option(help="its labels,")] = None,
    bones: Annotated[str, typer.Option(help="and those of bone, as 25-50,69; else all.")] = "",
    seed: Annotated[int, typer.Option(help="The first film's.")] = 0,
    size: Annotated[int, typer.Option(help="Height and width, px.")] = 256,
    parallel: Annotated[int, typer.Option(help="Processes at once.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what was stopped.")] = False,
) -> int:
    """Make films with exact bone masks."""
    from boneseg.simulate import CtSource, PhantomSource, SkeletonSource, Source
    from boneseg.simulate import simulate as make

    _check_words_of_kinds(kind, skeleton=(meshes, model, region, organs), ct=(ct, labels, bones))
    source: Source = PhantomSource()
    if kind == "skeleton":
        if meshes is None:
            raise UsageError("simulate --kind skeleton: give --meshes, a folder of bone surfaces")
        source = SkeletonSource(meshes, tuple(model or ()), region, organs)
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
            resume=resume,
            progress=lambda done, all_: progress.at(done / all_, f"{done} of {all_} films"),
        )
    say(f"{counted(count, 'film')} in {out}")
    return 0


def demo(
    out: Annotated[Path, typer.Option(help="A new folder.")] = Path("demo"),
    minutes: Annotated[float, typer.Option(help="How long to train.")] = 1.0,
) -> int:
    """Find bones with the model that ships, and score it; then train one, and score that."""
    from boneseg.cli.demo import demonstrate, dice_words

    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UsageError(f"{out}: is a file, or holds some; choose another --out or remove it")
    done = demonstrate(out, minutes=minutes, say=say)
    print("on 24 simulated films that neither model was trained on:")
    print(f"  {dice_words(done.shipped)}  the model that ships, which segment uses")
    print(f"  {dice_words(done.summary)}  a model trained here for {minutes:g} min, to show how")
    print(f"samples:  {done.samples}")
    print(f"overlays: {done.overlays}")
    print(f"model:    {done.bundle}")
    print(f"report:   {done.report}")
    return 0


def _check_words_of_kinds(kind: str, **words: tuple[object, ...]) -> None:
    """Refuse what another kind is made from: the films would be phantoms, without a word."""
    for other, given in words.items():
        if kind != other and any(given):
            raise UsageError(
                f"simulate: {OF_KIND[other]} are for --kind {other}; give it, or leave them out"
            )


def _label_numbers(text: str) -> tuple[int, ...] | None:
    """The numbers of a list like 25-50,69; None for an empty one."""
    numbers: list[int] = []
    try:
        for part in filter(None, text.replace(" ", "").split(",")):
            first, _, last = part.partition("-")
            labels = range(int(first), int(last or first) + 1)
            if not labels:
                raise ValueError
            numbers += labels
    except ValueError:
        raise UsageError(f"--bones {text}: write numbers and ranges, as 25-50,69") from None
    if text and not numbers:
        raise UsageError(f"--bones {text}: names no label; write them as 25-50,69")
    if 0 in numbers:
        raise UsageError(f"--bones {text}: 0 is all that has no label; leave it out")
    return tuple(numbers) or None
