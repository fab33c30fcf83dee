"""Score predictions against a dataset: each case by name, then the summary.

    evaluation = evaluate_masks(open_dataset(Path("data")), Path("predicted"))
    evaluation.summary.mean["dice"]

A case whose prediction is missing or has another size is listed in `failures`, and never scored as
an empty mask.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boneseg._util.drawing.html import frame
from boneseg._util.files import JSON
from boneseg._util.text import as_compared, counted, listed
from boneseg.dataset.case import Case
from boneseg.dataset.fingerprint import is_among
from boneseg.dataset.open import Dataset
from boneseg.dataset.pairing import MaskFile, masks_in, may_be_mask
from boneseg.errors import BonesegError, DatasetError, MaskError, UsageError, unexpected
from boneseg.evaluation.reported import ReportedMasks
from boneseg.evaluation.scores import (
    CaseScores,
    Scores,
    Summary,
    by_part,
    parts_json,
    score,
    summarise,
)
from boneseg.evaluation.statistics import Groups
from boneseg.evaluation.tables import films_text, metrics_text, summaries_table
from boneseg.masks.annotations import is_annotation
from boneseg.masks.filenames import stem_of
from boneseg.masks.read import read_mask
from boneseg.masks.types import MaskSizeError
from boneseg.radiograph.film import Radiograph
from boneseg.radiograph.read import read_radiograph

Mask = NDArray[np.bool_]
Pair = tuple[str, Mask, Mask, tuple[float, float] | None]


@dataclass(frozen=True)
class Failure:
    """A case that could not be scored, and the reason in one line."""

    name: str
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """The summary of the scored cases, and the failures (exit status 1)."""

    summary: Summary  # scores of all cases
    parts: dict[str, Summary]  # by body part, where parts.csv lists any
    failures: tuple[Failure, ...]  # cases without a score
    seen: tuple[str, ...] = ()  # cases in the model's training or validation films
    asked: int = 0  # films of the dataset, with scores or without; 0: unknown
    unpaired: int = 0  # of these, those without a mask

    def __repr__(self) -> str:
        if not self.summary.cases:
            return f"Evaluation(no film scored, {counted(len(self.failures), 'failure')})"
        dice, films = self.summary.mean["dice"], counted(len(self.summary.cases), "film")
        return f"Evaluation(Dice {dice:.4f}, {films}, {counted(len(self.failures), 'failure')})"

    def _repr_html_(self) -> str:
        failed = "".join(f"<p>{escape(failure.reason)}</p>" for failure in self.failures)
        if not self.summary.cases:
            return frame(f"<p>{self.nothing_scored}</p>{failed}")
        return frame(summaries_table([("all films", self.summary), *self.parts.items()]) + failed)

    @property
    def nothing_scored(self) -> str:
        """The message shown where there are no scores."""
        return f"no film could be scored; all {len(self.failures)} failed"

    def to_json(self) -> dict[str, JSON]:
        """Return the document of `evaluate --json`, with "parts" where any are known."""
        document = self.summary.to_json()
        if self.parts:
            document["parts"] = parts_json(self.parts)
        return document

    def table(self) -> str:
        """Format the summary of each metric, then the Dice of each body part, for a terminal.

        Above them are the number of films with scores, and that of empty predictions.
        """
        if not self.summary.cases:
            return self.nothing_scored
        empty = counted(self.summary.empty_predictions, "empty prediction")
        heading = films_text(len(self.summary.cases), self.asked, self.unpaired)
        lines = [
            f"{part:<10} {found.mean['dice']:8.4f}   Dice of {counted(len(found.cases), 'film')}"
            for part, found in self.parts.items()
        ]
        above = [f"{heading}; {empty}"] if self.asked else []
        return "\n".join([*above, metrics_text(self.summary), *lines])


def evaluate_predictions(pairs: Iterable[Pair], groups: Groups | None = None) -> Summary:
    """Score (name, prediction, truth, spacing in mm or None) one at a time.

    Prediction and truth are bool, height x width. The pairs are consumed one at a time, so a
    generator needs memory for one film only. `groups` holds the patient of each film where known;
    intervals are then over patients. Raises MaskError, with the name, where the two cannot be
    compared, and DatasetError where there are no pairs.
    """
    scored = []
    for index, (name, prediction, truth, spacing_mm) in enumerate(pairs):
        group = groups[index] if groups is not None else None
        try:
            scored.append(CaseScores(name, score(prediction, truth, spacing_mm), group))
        except MaskError as error:
            raise MaskError(f"{name}: {error}") from None
    if not scored:
        raise DatasetError("there is no case to score; give at least one film with its mask")
    return summarise(scored)


def evaluate_masks(dataset: Dataset, masks_dir: Path) -> Evaluation:
    """Score the predicted masks in a folder against the truth of a dataset.

    The prediction for a film `knee.png` is `knee_mask.*`, otherwise `knee.*`, directly in
    `masks_dir`, which may also be a single annotation file. Of films of the same name from
    different folders, each has the one that the report in `masks_dir` lists for it.
    Distances are also in mm where the film states its pixel spacing. Raises UsageError where
    `masks_dir` cannot be read, and DatasetError where the dataset has no case; a case that cannot
    be scored is listed in `failures`, and the others are scored.
    """
    masks = _masks_in(masks_dir)
    files = _by_name(masks)
    unpaired = _unpaired(masks, files, dataset.cases)
    reported = ReportedMasks(masks_dir, masks)
    owners: dict[MaskFile, str] = {}

    def score_case(case: Case) -> Scores:
        mask = _prediction(case, files, reported, unpaired)
        if owners.setdefault(mask, case.name) != case.name:
            raise MaskError(
                f"{mask.path}: already matches case {owners[mask]}; name one mask per film"
            )
        return _score_file(case, mask)

    evaluation = _evaluate(dataset, score_case)
    lost = [mask for mask in masks if mask.error and not mask.loose and mask not in owners]
    unread = tuple(Failure(mask.path.name, mask.error) for mask in lost)
    return replace(evaluation, failures=unread + evaluation.failures)


def evaluate_model(
    dataset: Dataset, segment: Callable[[Radiograph], Mask], seen: Collection[str] = ()
) -> Evaluation:
    """Score the masks a model predicts for the films of a dataset, read one at a time.

    `segment` returns the mask of a film on the film's own grid, bool H x W, as `Engine.segment`
    does. `seen`: digests of the model's training and validation films (`bundle.seen_by`); cases
    among them are listed in the result. Raises DatasetError where the dataset has no case; a film
    or mask that cannot be read is listed in `failures`, and the others are scored.
    """
    known: list[str] = []

    def score_case(case: Case) -> Scores:
        film = read_radiograph(case.image)
        height, width = film.shape
        truth = case.read_mask((height, width))
        scores = score(segment(film), truth, film.spacing_mm)
        if is_among(film, seen):
            known.append(case.name)
        return scores

    return replace(_evaluate(dataset, score_case), seen=tuple(known))


def _evaluate(dataset: Dataset, score_case: Callable[[Case], Scores]) -> Evaluation:
    if not dataset.cases:
        raise DatasetError("there is no case to score; give at least one film with its mask")
    scored: list[CaseScores] = []
    failures: list[Failure] = []
    failures += [Failure(fault.split(": ")[0], fault) for fault in dataset.faults]
    for case in dataset.cases:
        try:
            scored.append(CaseScores(case.name, score_case(case), case.group))
        except BonesegError as error:
            failures.append(Failure(case.name, case.hide(str(error))))
        except Exception as error:  # from a library: its message could quote the file
            failures.append(Failure(case.name, unexpected(case.image_name, error)))
    summary = summarise(scored)
    parts = by_part(summary, {case.name: case.part for case in dataset.cases})
    unpaired = len(dataset.unpaired_images)
    return Evaluation(summary, parts, tuple(failures), asked=dataset.films, unpaired=unpaired)


def _score_file(case: Case, mask: MaskFile) -> Scores:
    film = read_radiograph(case.image)
    height, width = film.shape
    truth = case.read_mask((height, width))
    try:
        prediction = read_mask(mask.path, (height, width), film=mask.film)
    except MaskSizeError as error:
        found = f"{error.size[0]} x {error.size[1]} pixels, the film {height} x {width}"
        where = str(mask.path) if mask.film is None else f"{mask.path}: {mask.film}"
        raise MaskError(
            f"{where}: is {found} (height x width); predict on the film's own pixel grid"
        ) from None
    return score(prediction, truth, film.spacing_mm)


def _masks_in(place: Path) -> list[MaskFile]:
    try:
        files = [place] if place.is_file() else sorted(place.iterdir())
        paths = [p for p in files if p.is_file() and not p.name.startswith(".")]
    except OSError as error:
        raise UsageError(
            f"{place}: cannot be read ({error.strerror}); give the folder of predicted masks"
        ) from None
    masks = [mask for path in paths for mask in masks_in(path)]
    if place.is_file() and len(masks) == 1 and masks[0].error and not masks[0].loose:
        raise DatasetError(masks[0].error)
    if place.is_file() and (not is_annotation(place) or any(mask.loose for mask in masks)):
        raise UsageError(f"{place}: contains no masks; give the folder of predicted masks")
    return masks


def _by_name(masks: Sequence[MaskFile]) -> dict[str, list[MaskFile]]:
    found: dict[str, list[MaskFile]] = {}
    for mask in masks:
        found.setdefault(as_compared(mask.name), []).append(mask)
    return found


@dataclass(frozen=True)
class _Unpaired:
    """Files that match no case, but may be masks or are named after a case without a mask.

    names: as shown, by their names as compared. listed: some of them, without names of films that
    identify the patient.
    """

    names: Mapping[str, str]
    listed: str


def _unpaired(
    masks: Sequence[MaskFile], files: Mapping[str, Sequence[MaskFile]], cases: Sequence[Case]
) -> _Unpaired:
    paired: set[str] = set()
    starts: dict[bool, set[str]] = {False: set(), True: set()}  # by whether the case has a mask
    for case in cases:
        names = _prediction_names(case)
        paired.update(names)
        starts[any(name in files for name in names)].update(_starts(case))
    lacking, served = tuple(starts[False]), tuple(starts[True])
    if not lacking:
        return _Unpaired({}, "")

    def is_of_interest(mask: MaskFile) -> bool:
        if as_compared(mask.name) in paired or (mask.error and not mask.loose):
            return False
        name = as_compared(mask.path.name)
        if name.startswith(lacking):
            return True
        return not name.startswith(served) and not mask.loose and may_be_mask(mask.path)

    found = (mask for mask in masks if is_of_interest(mask))
    shown = [mask.path.name if mask.film in (None, mask.uid) else mask.film for mask in found]
    text = listed(list(dict.fromkeys(shown)))
    for case in cases:
        text = case.hide(text)
    return _Unpaired({as_compared(name): name for name in shown}, text)


def _starts(case: Case) -> Iterator[str]:
    """The beginnings of the names of files that are named after a case."""
    for name in {case.name, stem_of(case.image)}:
        yield from (as_compared(name + separator) for separator in "._- ")


def _prediction(
    case: Case,
    files: Mapping[str, Sequence[MaskFile]],
    reported: ReportedMasks,
    unpaired: _Unpaired,
) -> MaskFile:
    folder = reported.place
    named = next((files[name] for name in _prediction_names(case) if name in files), ())
    candidates = reported.chosen(case.image, named)
    if not candidates and unpaired.names:
        starts = tuple(_starts(case))
        own = [shown for name, shown in unpaired.names.items() if name.startswith(starts)]
        raise MaskError(
            f"{folder}: has no mask for {case.name}, but files that match no film: "
            f"{listed(own) or unpaired.listed}; name the mask {case.name}_mask or {case.name} "
            "with the suffix of a format that is read"
        )
    if not candidates:
        raise MaskError(f"{folder}: has no mask for {case.name}; predict this film, too")
    if len(candidates) > 1:
        names = ", ".join(mask.path.name for mask in candidates)
        raise MaskError(f"{folder}: contains {names} for one film; keep one of them")
    return candidates[0]


def _prediction_names(case: Case) -> tuple[str, ...]:
    called = dict.fromkeys((case.name, stem_of(case.image)))  # two where the film's name is hidden
    names = (f"{name}{ending}" for name in called for ending in ("_mask", "", ".seg"))
    return tuple(map(as_compared, names))
