"""Files in, masks out: each film on its own, so that one bad file never stops the rest.

Reading, the engine and writing overlap; the results keep the order of the inputs.
"""

from __future__ import annotations

import itertools
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boneseg.dataset import stem_of
from boneseg.engine import Engine, Finding
from boneseg.errors import BonesegError, OutputError, UsageError
from boneseg.files import same_place, whole_file
from boneseg.masks import write_mask
from boneseg.patients import public_path
from boneseg.prepare import resize
from boneseg.radiograph import Radiograph, read_radiograph
from boneseg.writers.overlay import write_overlay

FORMATS = ("mask", "overlay")
THREADS = 2  # read and write films while the engine looks at another
AHEAD = 4  # films read, and films waiting to be written, at most


@dataclass(frozen=True)
class Result:
    """What became of one input: its files and figures, or its error."""

    input: str
    outputs: dict[str, str]
    area_px: int | None = None
    area_mm2: float | None = None
    confidence: float | None = None  # mean over pixels of the probability of the answer given
    trust: float | None = None  # how far the model's views agree; the lowest want a look
    seconds: float | None = None  # in the engine
    error: str | None = None


def segment_files(
    inputs: Sequence[Path],
    out: Path,
    engine: Engine,
    *,
    formats: Sequence[str] = FORMATS,
    invert: bool = False,
    frame: int | None = None,
    keep_names: bool = False,
    report: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Segment each film into `out`, and write `segment.json` there.

    Films whose path gives their patient away are called by a hash, in names of files and in
    results, unless `keep_names`: see `patients.py`.

    Raises UsageError where `frame` is under 1 or where a file beside the films would be replaced,
    and OutputError where nothing can be written.
    """
    if frame is not None and frame < 1:  # else every film would be blamed for it
        raise UsageError(f"--frame {frame}: frames are counted from 1")
    names = [public_path(path, keep_names=keep_names) for path in inputs]
    stems = list(unique_stems(names))
    _spare_the_films(inputs, out, stems, formats)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be made ({error.strerror}); choose another") from None
    results: list[Result] = []
    writing: deque[Future[Result]] = deque()

    def finish(waiting: int) -> None:
        while writing and (len(writing) > waiting or writing[0].done()):
            results.append(writing.popleft().result())
            if report:
                report(results[-1])

    with ThreadPoolExecutor(THREADS) as pool:
        films = _read_ahead(pool, inputs, names, invert, frame)
        try:
            for stem, name, (film, failed) in zip(stems, names, films, strict=True):
                if film is None:
                    writing.append(pool.submit(Result, str(name), {}, error=failed))
                else:
                    writing.append(_segment_one(pool, film, name, out / stem, engine, formats))
                finish(AHEAD)
            finish(0)
        finally:  # once a result cannot be written, what waits has no room either
            pool.shutdown(cancel_futures=True)
    with whole_file(out / "segment.json") as temporary:
        text = json.dumps([asdict(result) for result in results], indent=2)
        temporary.write_text(text + "\n", encoding="utf-8")
    return results


def _spare_the_films(
    inputs: Sequence[Path], out: Path, stems: Sequence[str], formats: Sequence[str]
) -> None:
    """Refuse to replace a film, or a mask that somebody drew beside the films."""
    if not any(same_place(out, folder) for folder in {path.parent for path in inputs}):
        return
    for stem in stems:
        for name in _outputs(stem, formats).values():
            if (out / name).exists():
                raise UsageError(
                    f"{out / name}: would be replaced, for --out is where the films are; "
                    "choose another folder"
                )


def _read_ahead(
    pool: ThreadPoolExecutor,
    inputs: Sequence[Path],
    names: Sequence[Path],
    invert: bool,
    frame: int | None,
) -> Iterator[tuple[Radiograph | None, str | None]]:
    """Each film, or what is wrong with it, in order; never more than AHEAD are in memory."""

    def read(path: Path, name: Path) -> tuple[Radiograph | None, str | None]:
        kept = name == path
        try:
            return read_radiograph(path, invert=invert, frame=frame, keep_names=kept), None
        except (BonesegError, MemoryError) as error:
            return None, _reason(name, error)

    coming = zip(inputs, names, strict=True)
    reading = deque(pool.submit(read, *film) for film in itertools.islice(coming, AHEAD))
    while reading:
        yield reading.popleft().result()
        reading.extend(pool.submit(read, *film) for film in itertools.islice(coming, 1))


def _segment_one(
    pool: ThreadPoolExecutor,
    film: Radiograph,
    name: Path,
    out: Path,
    engine: Engine,
    formats: Sequence[str],
) -> Future[Result]:
    """Find the bones now; write them while the next film is looked at."""
    started = time.perf_counter()
    try:
        finding = find(engine, film)
    except (BonesegError, MemoryError) as error:
        return pool.submit(Result, str(name), {}, error=_reason(name, error))
    seconds = time.perf_counter() - started
    return pool.submit(_write_one, film, name, finding, out, formats, seconds)


def find(engine: Engine, film: Radiograph) -> Finding:
    """The bones of a film, on its own grid, whatever the shape of its pixels.

    A film whose pixels are no squares is stretched until they are, for bones have their proportions
    there, and what is found goes the same way back. Raises BonesegError.
    """
    if film.aspect == 1:
        return engine.find(film.pixels)
    height, width = film.pixels.shape
    tall = film.aspect > 1  # the film only grows, so that nothing of it is lost
    square = (round(height * film.aspect), width) if tall else (height, round(width / film.aspect))
    finding = engine.find(resize(film.pixels, square))
    probability = np.clip(resize(finding.probability, (height, width)), 0, 1)
    mask = probability >= engine.bundle.card.threshold
    return replace(finding, probability=probability, mask=mask, pixels=film.pixels)


def _reason(path: Path, error: Exception) -> str:
    too_large = f"{path}: is too large for the memory; reduce it"
    return too_large if isinstance(error, MemoryError) else str(error)


def _write_one(
    film: Radiograph,
    name: Path,
    finding: Finding,
    out: Path,
    formats: Sequence[str],
    seconds: float,
) -> Result:
    probability, mask = finding.probability, finding.mask
    outputs = _outputs(out.name, formats)
    _write_outputs({kind: out.with_name(name) for kind, name in outputs.items()}, film, mask)
    area, spacing = int(mask.sum()), film.spacing_mm
    return Result(
        input=str(name),
        outputs=outputs,
        area_px=area,
        area_mm2=round(area * spacing[0] * spacing[1], 2) if spacing else None,
        confidence=round(float(np.maximum(probability, 1 - probability).mean()), 4),
        trust=round(finding.trust, 4) if finding.trust is not None else None,
        seconds=round(seconds, 4),
    )


def _write_outputs(paths: dict[str, Path], film: Radiograph, mask: NDArray[np.bool_]) -> None:
    """All outputs of a film, or none: a mask without its overlay would look finished."""
    begun = False
    try:
        if "mask" in paths:
            write_mask(paths["mask"], mask)
            begun = True
        if "overlay" in paths:
            write_overlay(paths["overlay"], film.pixels, mask)
    except OutputError:
        for path in paths.values() if begun else ():  # else those of an earlier call are whole
            with suppress(OSError):
                path.unlink()
        raise


def _outputs(stem: str, formats: Sequence[str]) -> dict[str, str]:
    """The file name of each output of a film."""
    return {name: f"{stem}_{name}.png" for name in FORMATS if name in formats}


def unique_stems(inputs: Sequence[Path]) -> Iterator[str]:
    """A name for each input's outputs: its stem, with a number where that is taken."""
    taken: set[str] = set()
    for path in inputs:
        stem, number = stem_of(path), 2
        while stem.lower() in taken:
            stem, number = f"{stem_of(path)}-{number}", number + 1
        taken.add(stem.lower())
        yield stem
