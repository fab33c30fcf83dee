"""Segment files: each film independently, so that a bad file never stops the rest.

Each thread takes one film at a time from file to mask; results keep the order of the inputs. There
are never more films in memory than threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray

from boneseg._util.files import make_folder
from boneseg._util.lock import exclusive
from boneseg.errors import BonesegError, OutputError, UsageError, unexpected
from boneseg.inference.engine import Engine
from boneseg.inference.finding import Finding
from boneseg.masks.formats import BONES
from boneseg.masks.output import OutputFolder, Target, write_outputs
from boneseg.masks.segmentation import OVERLAY_SIDE
from boneseg.masks.verdict import Grade
from boneseg.radiograph.film import PLACEHOLDER, Radiograph, SpacingKind
from boneseg.radiograph.privacy import public_path
from boneseg.radiograph.provenance import ReportEntry
from boneseg.radiograph.read import read_radiograph

USUAL = ("mask", "overlay")  # default output formats
REPORT = "segment.json"


@dataclass(frozen=True)
class BoneArea:
    """A bone on a film, and its area within the mask; bones overlap."""

    name: str
    area_px: int
    area_mm2: float | None  # None where the spacing is unknown


@dataclass(frozen=True)
class Result:
    """The result of one input: its files and measurements, or its error."""

    input: str  # path of the film, or its hash where the path identifies the patient
    outputs: dict[str, str]  # file of each format, in the output folder
    area_px: int | None = None  # of all bone
    area_mm2: float | None = None  # None where the spacing is unknown
    spacing: SpacingKind | None = None  # kind of the pixel spacing
    part: str | None = None  # body part, or "not a radiograph"
    part_confidence: float | None = None  # the probability of it
    projection: str | None = None  # frontal, lateral or oblique
    projection_confidence: float | None = None  # the probability of it
    verdict: Grade | None = None  # good, review or unsuitable
    reason: str | None = None  # of the verdict, in words
    trust: float | None = None  # the balanced score that the mask is expected to have
    likeness: float | None = None  # plausibility as a radiograph, in [0, 1]
    warning: str | None = None  # not a radiograph, placeholder of a spacing, skipped formats
    skipped: dict[str, str] = field(default_factory=dict)  # unavailable formats, with the reason
    frame: int | None = None  # as requested, from 1
    bones: list[BoneArea] | None = None  # name, area_px and area_mm2 of each, if asked for
    seconds: float | None = None  # of inference
    error: str | None = None  # why it failed; then nothing else is known

    def to_entry(self) -> ReportEntry:
        """The entry of the report."""
        return ReportEntry(self.outputs, asdict(self))


Written = tuple[Result, dict[str, object]]  # and the film's entries in documents, by format


@exclusive
def segment_files(
    inputs: Sequence[Path],
    out: Path,
    engine: Engine,
    *,
    formats: Sequence[str] = USUAL,
    invert: bool = False,
    frame: int | None = None,
    keep_names: bool = False,
    overlay_side: int | None = OVERLAY_SIDE,
    spacing: float | None = None,
    bones: bool = False,
    report: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Segment each film into `out`, and add the results to `segment.json` there.

    `formats`: names of `masks.formats.FORMATS`; documents that cover all films are written at the
    end, as is the report. Both keep the films of earlier runs: see `masks/output.py`. They are
    also written if the run is interrupted, with the films done until then.

    overlay_side: longest side of an overlay, px; None: the film's size. spacing: the width of a
    pixel of all films, mm; None: as their files or a `calibration.csv` say. bones: name the bones,
    in the formats with labels and, beside masks, as a folder of one mask for each.

    Films whose path identifies the patient are named by a hash in file names and results, unless
    `keep_names`: see `radiograph/privacy.py`. A film of which somebody has corrected a result there
    has an error, and the others are segmented.

    Raises UsageError if `frame` is below 1, the model does not name bones, or a file would be
    replaced that boneseg has not written, and OutputError if `out` cannot be written or another
    process is writing to it.
    """
    if frame is not None and frame < 1:  # else every film would report it
        raise UsageError(f"--frame {frame}: frames are counted from 1")
    if bones:
        engine.check_names()
        formats = [*formats, BONES] if "mask" in formats else formats
    names = [public_path(path, keep_names=keep_names) for path in inputs]
    make_folder(out)
    folder = OutputFolder(out, REPORT, formats)
    targets = folder.targets(inputs, names, frame)
    films = [_Film(*film) for film in zip(inputs, names, targets, strict=True)]
    batch = _Batch(engine, folder, invert, frame, overlay_side, spacing, bones)
    batch.run(films, report)
    return batch.results


@dataclass(frozen=True)
class _Film:
    path: Path
    name: Path  # in results and messages
    target: Target


@dataclass
class _Batch:
    """A call of `segment_files`, and the results so far, in the order of the inputs."""

    engine: Engine
    folder: OutputFolder
    invert: bool
    frame: int | None
    overlay_side: int | None
    spacing: float | None
    bones: bool
    results: list[Result] = field(default_factory=list)
    full: Event = field(
        default_factory=Event
    )  # a result cannot be written: the rest would fail too

    def run(self, films: Sequence[_Film], report: Callable[[Result], None] | None) -> None:
        """Segment the films. The report and the documents are written even if it is interrupted."""
        with ThreadPoolExecutor(self.engine.at_once + 1) as pool:  # one for I/O during inference
            futures = [pool.submit(self._segment, film) for film in films]
            try:
                for future, film in zip(futures, films, strict=True):
                    self._add(future, film)
                    if report:
                        report(self.results[-1])
            except BaseException as error:  # Ctrl-C, or a full disk
                try:
                    pool.shutdown(cancel_futures=True)
                finally:  # a second Ctrl-C only ends the waiting
                    with suppress(OutputError):  # the first error is the one to report
                        self._keep_finished(films, futures, error)
                raise
        self.folder.close()

    def _segment(self, film: _Film) -> Written:
        if self.full.is_set():  # set by a film earlier in the order of results
            raise CancelledError
        try:
            return self._written(film)
        except OutputError:
            self.full.set()
            raise
        except BonesegError as error:
            return _failure(film.name, str(error))
        except Exception as error:  # from a library: its message could quote the file
            return _failure(film.name, unexpected(film.name, error))

    def _written(self, one: _Film) -> Written:
        """Segment a film and write its outputs. Raises BonesegError."""
        self.folder.check(one.target)
        keep_name = one.name == one.path
        film = read_radiograph(
            one.path,
            invert=self.invert,
            frame=self.frame,
            keep_names=keep_name,
            spacing=self.spacing,
        )
        started = time.perf_counter()
        finding = self.engine.find(film)
        seconds = time.perf_counter() - started
        found = self.engine.segmentation(
            film, finding, one.name, one.target.title, bones=self.bones
        )
        found = replace(found, overlay_side=self.overlay_side)
        place, formats = self.folder.path / one.target.stem, self.folder.formats
        with ThreadPoolExecutor(1) as beside:
            beside.submit(lambda: finding.verdict)  # kept for the result
            outputs, entries, skipped = write_outputs(found, place, formats)
        result = _result(film, finding, skipped)
        if self.bones:
            areas = [_bone_area(film, name, mask) for name, mask in finding.bones.items()]
            result = replace(result, bones=areas)
        measured = replace(
            result,
            input=str(one.name),
            outputs=outputs,
            frame=self.frame,
            seconds=round(seconds, 4),
        )
        return measured, entries

    def _add(self, future: Future[Written], film: _Film) -> None:
        result, entries = future.result()
        self.folder.add(film.target, result.to_entry(), entries)
        self.results.append(result)

    def _keep_finished(
        self, films: Sequence[_Film], futures: Sequence[Future[Written]], error: BaseException
    ) -> None:
        """Add what is finished after an error, and the film whose result cannot be written."""
        begun = len(self.results)
        if isinstance(error, OutputError):
            failed, _ = _failure(films[begun].name, str(error))
            self.folder.add(films[begun].target, failed.to_entry(), {})
        for future, film in zip(futures[begun:], films[begun:], strict=True):
            if future.done() and not future.cancelled() and future.exception() is None:
                self._add(future, film)
        self.folder.close(ended=all(future.done() for future in futures))


def _bone_area(film: Radiograph, name: str, mask: NDArray[np.bool_]) -> BoneArea:
    area = int(np.count_nonzero(mask))
    return BoneArea(name, area, film.area_mm2(area))


def _result(film: Radiograph, finding: Finding, skipped: dict[str, str]) -> Result:
    """The measurements of a film, without its name and files."""
    placeholder = PLACEHOLDER if film.spacing_kind == "placeholder" else None
    warnings = [
        finding.warning,
        placeholder,
        *(f"{kind} is skipped: {why}" for kind, why in skipped.items()),
    ]
    verdict = finding.verdict.rounded()
    area = int(np.count_nonzero(finding.mask))
    return Result(
        input="",
        outputs={},
        area_px=area,
        area_mm2=film.area_mm2(area),
        spacing=film.spacing_kind,
        **asdict(verdict),
        likeness=round(finding.likeness, 4),
        warning="; ".join(filter(None, warnings)) or None,
        skipped=skipped,
    )


def _failure(name: Path, reason: str) -> Written:
    return Result(str(name), {}, error=reason), {}
