"""Score bones by name: each bone of each film, then the mean of each bone over films.

    found = evaluate_named_masks(open_dataset(data, named=True), Path("masks"))
    found.summaries["femur"].mean["recall"]

Drawn masks seldom have every bone of a film, so a bone is scored on the films on which it is drawn,
and on no others. On these, a bone that was not found has recall, precision and Dice 0. On how many
further films it was found is counted, too: there it is either wrong or was not drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boneseg._util.files import JSON, write_table
from boneseg._util.text import counted
from boneseg.dataset.case import Case
from boneseg.dataset.fingerprint import is_among
from boneseg.dataset.open import Dataset
from boneseg.dataset.pairing import mask_files, pair
from boneseg.errors import BonesegError, DatasetError, MaskError, unexpected
from boneseg.evaluation.evaluate import Failure
from boneseg.evaluation.metrics import METRICS, MaskPair
from boneseg.evaluation.reported import ReportedMasks
from boneseg.evaluation.statistics import bootstrap_ci95
from boneseg.evaluation.tables import films_text
from boneseg.masks.annotations import read_named
from boneseg.masks.segmentation import BONE
from boneseg.radiograph.film import Radiograph
from boneseg.radiograph.read import read_radiograph

Mask = NDArray[np.bool_]
Bones = Mapping[str, Mask]

SCORES = ("recall", "precision", "dice")


@dataclass(frozen=True)
class FilmBones:
    """The scores of one film: of each bone drawn on it, and the bones found that are not drawn."""

    name: str
    scores: dict[str, dict[str, float]]  # bone: SCORES
    others: tuple[str, ...]
    group: str | None = None  # the patient, where known


@dataclass(frozen=True)
class BoneSummary:
    """A bone over the films on which it is drawn.

    films: their number. missed: those on which it was not found. others: films on which it was
    found but is not drawn.
    """

    films: int
    missed: int
    others: int
    mean: dict[str, float]
    ci95: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class BonesEvaluation:
    """The scores of all films, and the failures (exit status 1).

    seen: films in the model's training or validation films. asked: films of the dataset, with
    scores or without. unpaired: of these, those without masks of named bones.
    """

    films: tuple[FilmBones, ...]
    failures: tuple[Failure, ...]
    seen: tuple[str, ...] = ()
    asked: int = 0
    unpaired: int = 0

    @property
    def summaries(self) -> dict[str, BoneSummary]:
        """The summary of each bone that is drawn on any film, in alphabetical order."""
        drawn = sorted({bone for film in self.films for bone in film.scores})
        return {bone: _summary(bone, self.films) for bone in drawn}

    def to_json(self) -> dict[str, JSON]:
        """Return the document of `evaluate --bones --json`."""
        return {
            "cases": [
                {
                    "name": film.name,
                    "bones": {bone: {**scores} for bone, scores in film.scores.items()},
                    "not_drawn": list(film.others),
                }
                for film in self.films
            ],
            "bones": {
                bone: {
                    "films": found.films,
                    "missed": found.missed,
                    "not_drawn": found.others,
                    "mean": {**found.mean},
                    "ci95": {name: list(interval) for name, interval in found.ci95.items()},
                }
                for bone, found in self.summaries.items()
            },
        }

    def table(self) -> str:
        """Format each bone for a terminal."""
        if not self.films:
            return f"no film could be scored; all {len(self.failures)} failed"
        summaries = self.summaries
        width = max(5, *map(len, summaries))
        lines = [
            films_text(len(self.films), self.asked, self.unpaired, "masks of named bones"),
            f"{'bone':<{width}}   recall  precision    Dice   95 %               films",
        ]
        for bone, found in summaries.items():
            low, high = found.ci95["dice"]
            recall, precision, dice = (found.mean[name] for name in SCORES)
            notes = [f"not found on {found.missed}"] if found.missed else []
            notes += [f"found on {counted(found.others, 'other')}"] if found.others else []
            lines.append(
                f"{bone:<{width}}   {recall:.4f}     {precision:.4f}  {dice:.4f}   "
                f"{low:.4f} to {high:.4f}   {found.films}"
                + (f" ({', '.join(notes)})" if notes else "")
            )
        return "\n".join(lines)


def evaluate_named_masks(dataset: Dataset, masks: Path) -> BonesEvaluation:
    """Score named masks in a folder, or in one annotation file, against those of a dataset.

    masks: holds files with labels (DICOM SEG, .seg.nrrd, COCO and others), or for each film a
    folder with a PNG for each bone. dataset: opened with `named`. Raises DatasetError where the
    dataset has no case or the masks cannot be read; a case that cannot be scored is listed in
    `failures`, and the others are scored.
    """
    files = mask_files(masks, named=True)
    found = pair([case.image for case in dataset.cases], files)
    reported = ReportedMasks(masks, files)

    def predicted(case: Case, film: Radiograph) -> Bones:
        named = found.pairs.get(case.image)
        file = next(iter(reported.chosen(case.image, [named] if named else [])), None)
        if file is None:
            faults = [fault for fault in found.faults if case.image.name in fault]
            problem = f"{masks}: has no masks with names for {case.name}; segment it with --bones"
            raise MaskError(faults[0] if faults else problem)
        if file.error:
            raise MaskError(file.error)
        return read_named(file.path, film.shape, film=file.film)

    return _evaluated(dataset, predicted, ())


def evaluate_naming(
    dataset: Dataset, bones: Callable[[Radiograph], Bones], seen: Collection[str] = ()
) -> BonesEvaluation:
    """Score the bones that a model names on the films of a dataset.

    bones: the mask of each bone of a film by its name, as `Finding.bones`. The rest is as
    `evaluate_model` and `evaluate_named_masks`.
    """
    return _evaluated(dataset, lambda _, film: bones(film), seen)


def write_bones_csv(evaluation: BonesEvaluation, path: Path) -> None:
    """Write a row for each bone drawn on a film: film, bone and scores. Raises OutputError."""
    rows = (
        (film.name, bone, *(scores[name] for name in SCORES))
        for film in evaluation.films
        for bone, scores in film.scores.items()
    )
    write_table(path, ("name", "bone", *SCORES), rows)


def _evaluated(
    dataset: Dataset, predicted: Callable[[Case, Radiograph], Bones], seen: Collection[str]
) -> BonesEvaluation:
    if not dataset.cases:
        raise DatasetError("there is no case to score; give at least one film with named masks")
    films, known = [], []
    failures = [Failure(fault.split(": ")[0], fault) for fault in dataset.faults]
    for case in dataset.cases:
        try:
            film = read_radiograph(case.image)
            truth = _named(read_named(case.mask, film.shape, film=case.film))
            if not truth:
                raise MaskError(f"{case.mask}: names no bone; label the masks with names of bones")
            films.append(_scored(case, truth, _named(predicted(case, film))))
            if is_among(film, seen):
                known.append(case.name)
        except BonesegError as error:
            failures.append(Failure(case.name, case.hide(str(error))))
        except Exception as error:  # from a library: its message could quote the file
            failures.append(Failure(case.name, unexpected(case.image_name, error)))
    return BonesEvaluation(
        tuple(films),
        tuple(failures),
        tuple(known),
        asked=dataset.films,
        unpaired=len(dataset.unpaired_images),
    )


def _named(masks: Bones) -> Bones:
    """Only those that have the name of a bone, and any bone."""
    return {name: mask for name, mask in masks.items() if name != BONE and mask.any()}


def _scored(case: Case, truth: Bones, found: Bones) -> FilmBones:
    scores = {bone: _scores(found.get(bone), mask) for bone, mask in truth.items()}
    return FilmBones(case.name, scores, tuple(sorted(found.keys() - truth.keys())), case.group)


def _scores(found: Mask | None, truth: Mask) -> dict[str, float]:
    if found is None:
        return dict.fromkeys(SCORES, 0.0)
    pair = MaskPair(found, truth)
    return {name: METRICS[name].value(pair, 0) for name in SCORES}


def _summary(bone: str, films: Collection[FilmBones]) -> BoneSummary:
    drawn = [film for film in films if bone in film.scores]
    values = {
        name: np.array([film.scores[bone][name] for film in drawn], np.float64) for name in SCORES
    }
    groups = [film.group for film in drawn]
    return BoneSummary(
        films=len(drawn),
        missed=sum(film.scores[bone]["dice"] == 0 for film in drawn),
        others=sum(bone in film.others for film in films),
        mean={name: float(scores.mean()) for name, scores in values.items()},
        ci95={name: bootstrap_ci95(scores, groups=groups) for name, scores in values.items()},
    )
