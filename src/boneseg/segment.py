"""Files in, masks out: each film on its own, so that one bad file never stops the rest.

A thread takes a film from file to mask, while others are at other films; the results keep the order
of the inputs. No more films are in memory than there are threads.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from boneseg.engine import Engine
from boneseg.errors import BonesegError, OutputError, UsageError
from boneseg.files import LAYOUTS, make_folder, same_place, whole_file
from boneseg.pairing import stem_of
from boneseg.patients import public_path
from boneseg.radiograph import Radiograph, SpacingKind, read_radiograph
from boneseg.writers import FORMATS, Reading

USUAL = ("mask", "overlay")  # what is written where nothing else is asked for
REPORT = "segment.json"
MASKS = dict(LAYOUTS)  # beside a folder of films: where those that people drew lie
LONGEST = 200  # bytes of a film's name in those of its outputs, which have 255 and longer endings


@dataclass(frozen=True)
class Result:
    """What became of one input: its files and figures, or its error."""

    input: str
    outputs: dict[str, str]
    area_px: int | None = None
    area_mm2: float | None = None
    spacing: SpacingKind | None = None  # what the mm are
    confidence: float | None = None  # mean over pixels of the probability of the answer given
    trust: float | None = None  # how far the model's views agree; the lowest want a look
    likeness: float | None = None  # how much the film looks like a radiograph, in [0, 1]
    warning: str | None = None  # where it hardly does
    seconds: float | None = None  # in the engine
    error: str | None = None


Written = tuple[Result, dict[str, Any]]  # and what the documents say of the film, by format


def segment_files(
    inputs: Sequence[Path],
    out: Path,
    engine: Engine,
    *,
    formats: Sequence[str] = USUAL,
    invert: bool = False,
    frame: int | None = None,
    keep_names: bool = False,
    report: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Segment each film into `out`, and write `segment.json` there.

    `formats`: names of `writers.FORMATS`; documents of all films are written at the end.

    Films whose path gives their patient away are called by a hash, in names of files and in
    results, unless `keep_names`: see `patients.py`.

    Raises UsageError where `frame` is under 1 or where a file beside the films would be replaced,
    and OutputError where nothing can be written.
    """
    if frame is not None and frame < 1:  # else every film would be blamed for it
        raise UsageError(f"--frame {frame}: frames are counted from 1")
    names = [public_path(path, keep_names=keep_names) for path in inputs]
    stems = list(unique_stems(names, formats, [REPORT]))
    _spare_the_films(inputs, out, stems, formats)
    make_folder(out)
    results: list[Result] = []
    entries: dict[str, list[Any]] = {name: [] for name in documents(formats)}
    namesakes = Counter(name.name for name in names)

    full = Event()  # once a result cannot be written, what waits has no room either

    def segment(path: Path, name: Path, stem: str) -> Written:
        if full.is_set():  # and whoever set it is before us in the order of results
            raise CancelledError
        try:
            film = read_radiograph(path, invert=invert, frame=frame, keep_names=name == path)
            alone = namesakes[name.name] == 1
            return _segment_one(film, name, out / stem, engine, formats, alone=alone)
        except OutputError:
            full.set()
            raise
        except MemoryError:
            return _failure(name, f"{name}: is too large for the memory; reduce it")
        except BonesegError as error:
            return _failure(name, str(error))

    with ThreadPoolExecutor(engine.at_once + 1) as pool:  # one reads or writes while others look
        films = zip(inputs, names, stems, strict=True)
        coming = [pool.submit(segment, *film) for film in films]
        try:
            for waiting in coming:
                result, said = waiting.result()
                results.append(result)
                for name, entry in said.items():
                    entries[name].append(entry)
                if report:
                    report(result)
        finally:  # Ctrl-C, too, is heard before all is done
            pool.shutdown(cancel_futures=True)
    for kind, document in documents(formats).items():
        FORMATS[kind].write_document(out / document, entries[kind])
    with whole_file(out / REPORT) as temporary:
        text = json.dumps([asdict(result) for result in results], indent=2)
        temporary.write_text(text + "\n", encoding="utf-8")
    return results


def _spare_the_films(
    inputs: Sequence[Path], out: Path, stems: Sequence[str], formats: Sequence[str]
) -> None:
    """Refuse to replace a film, or a mask that somebody drew beside the films."""
    folders = {path.parent.resolve() for path in inputs}
    pairs = {folder.with_name(masks) for folder in folders if (masks := MASKS.get(folder.name))}
    if not any(same_place(out, folder) for folder in folders | pairs):
        return
    names = [name for stem in stems for name in _files(stem, formats).values()]
    for name in [*names, *documents(formats).values()]:
        if (out / name).exists():
            raise UsageError(
                f"{out / name}: would be replaced, for --out is where the films or their masks "
                "are; choose another folder"
            )


def _segment_one(
    film: Radiograph,
    name: Path,
    out: Path,
    engine: Engine,
    formats: Sequence[str],
    *,
    alone: bool,
) -> Written:
    """Find the bones of a film, and write them. Raises BonesegError."""
    started = time.perf_counter()
    finding = engine.find(film)
    seconds = time.perf_counter() - started
    reading = Reading(film, finding, engine.bundle.card, name, alone=alone)
    outputs, entries = write_reading(reading, out, formats)
    spacing, area = film.spacing_mm, int(finding.mask.sum())
    result = Result(
        input=str(name),
        outputs=outputs,
        area_px=area,
        area_mm2=round(area * spacing[0] * spacing[1], 2) if spacing else None,
        spacing=film.spacing_kind,
        confidence=round(0.5 + float(np.abs(finding.probability - 0.5).mean()), 4),
        trust=round(finding.trust, 4) if finding.trust is not None else None,
        likeness=round(finding.likeness, 4),
        warning=finding.warning,
        seconds=round(seconds, 4),
    )
    return result, entries


def _failure(name: Path, reason: str) -> Written:
    return Result(str(name), {}, error=reason), {}


def write_reading(
    reading: Reading, out: Path, formats: Sequence[str]
) -> tuple[dict[str, str], dict[str, Any]]:
    """Write all outputs of a film, or none: a mask without its overlay would look finished.

    out: the folder and the stem of the files. The names of the outputs, by format, and what the
    documents say of the film. Raises BonesegError.
    """
    files = _files(out.name, formats)
    begun = False
    try:
        for kind, file in files.items():
            FORMATS[kind].write(out.with_name(file), reading)
            begun = True
        entries = {kind: FORMATS[kind].entry(reading) for kind in documents(formats)}
    except BaseException:
        for file in files.values() if begun else ():  # else those of an earlier call are whole
            with suppress(OSError):
                out.with_name(file).unlink()
        raise
    return files | documents(formats), entries


def _files(stem: str, formats: Sequence[str]) -> dict[str, str]:
    """The name of each format's file for a film."""
    known = {name: form for name, form in FORMATS.items() if name in formats and form.suffix}
    return {name: stem + form.suffix for name, form in known.items()}


def documents(formats: Sequence[str]) -> dict[str, str]:
    """The name of each format's document for all films."""
    return {name: FORMATS[name].document for name in formats if FORMATS[name].document}


def unique_stems(
    inputs: Sequence[Path], formats: Sequence[str] = (), reserved: Iterable[str] = ()
) -> Iterator[str]:
    """A name for each input's outputs: its stem, with a number where one of its files is taken.

    reserved: files that are no film's; the documents of the formats are reserved in any case.
    """
    taken = {name.lower() for name in (*reserved, *documents(formats).values())}
    for path in inputs:
        own = stem = _shortened(stem_of(path))
        number = 2
        while taken & (names := _names(stem, formats)):
            stem, number = f"{own}-{number}", number + 1
        taken |= names
        yield stem


def _shortened(stem: str) -> str:
    held = os.fsencode(stem)
    return stem if len(held) <= LONGEST else held[:LONGEST].decode(errors="ignore")


def _names(stem: str, formats: Sequence[str]) -> set[str]:
    """What no other film may have, in small letters: a stem and the files that go by it."""
    return {name.lower() for name in (stem, *_files(stem, formats).values())}
