"""One fold of a cross-validation: train without its films, predict them, and record the scores.

RUN/fold-N/                  a training run without the films of fold N, and its bundle
RUN/fold-N/fold.json         the scores of its films
RUN/out_of_fold/NAME.png     the probability (16 bit) of each film, and NAME_mask.png
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from boneseg._util import runtime
from boneseg._util.documents import Document
from boneseg._util.files import make_folder
from boneseg.bundle.store import Bundle, save_bundle
from boneseg.dataset.load import Film, Films
from boneseg.dataset.splits import all_but
from boneseg.errors import MaskError, TrainingError
from boneseg.evaluation.scores import CaseScores, Scores, score
from boneseg.experiments.crossval_result import Fold
from boneseg.inference.engine import Engine
from boneseg.masks.formats.png import write_mask, write_probability
from boneseg.masks.read import read_mask
from boneseg.recipes.recipe import SettledRecipe
from boneseg.training.history import Check, read_history
from boneseg.training.run import TrainedRun
from boneseg.training.train import train

OUT_OF_FOLD = "out_of_fold"

Report = Callable[[int, Check], None]  # the fold, from 1, and a validation check


@dataclass(frozen=True)
class FoldTask:
    """A fold to train. held_out: indices of its films among all films."""

    number: int  # from 1
    held_out: tuple[int, ...]
    recipe: SettledRecipe
    threads: int | None
    init: Bundle | None

    @property
    def name(self) -> str:
        """Its folder, below that of the cross-validation."""
        return f"fold-{self.number}"

    @property
    def record(self) -> str:
        """The file that is written last."""
        return f"{self.name}/fold.json"


@dataclass(frozen=True)
class CaseRecord:
    """The scores of a film by metric, as `Scores.to_json` returns them.

    spacing_mm: of the film's rows and columns when it was scored.
    """

    name: str
    scores: dict[str, float | bool | None]
    spacing_mm: tuple[float, float] | None = None


class FoldRecord(Document):
    """The content of fold.json."""

    cases: tuple[CaseRecord, ...]
    trust: tuple[float | None, ...]  # of each case
    threshold: float
    restarts: int
    seconds: float
    parameters: int

    @classmethod
    def upgraded(cls, content: dict[str, object]) -> dict[str, object]:
        if isinstance(cases := content.get("cases"), list):
            content["cases"] = [_upgraded_case(case) for case in cases]
        return content


def _upgraded_case(case: object) -> object:
    """A case of version 1, with scores beside its name."""
    if not isinstance(case, dict) or "scores" in case:
        return case
    scores = {key: value for key, value in case.items() if key != "name"}
    return {"name": case.get("name"), "scores": scores}


def fold_folder(out: Path, number: int) -> Path:
    return out / f"fold-{number}"


def run_fold(films: Films, task: FoldTask, out: Path, report: Report | None = None) -> None:
    """Train without the films of a fold, and predict them; `out` is of the cross-validation.

    Raises TrainingError where the training collapses.
    """
    if task.threads is not None:
        runtime.train_beside_others(task.threads)

    def report_fold(check: Check) -> None:
        if report:
            report(task.number, check)

    training, folder = films.part(all_but(task.held_out, len(films))), out / task.name
    run = train(training, task.recipe, folder, resume=True, init=task.init, report=report_fold)
    _record(run, films.part(task.held_out), task, out)


def report_end(task: FoldTask, out: Path, report: Report | None) -> None:
    """Report the last check of a fold trained in another process or earlier."""
    history = read_history(out / task.name / "history.csv")
    if report and history:
        report(task.number, history[-1])


def _record(run: TrainedRun, held_out: Films, task: FoldTask, out: Path) -> None:
    """Save the bundle of a fold, the predictions of its films, and their scores."""
    mirrored = task.recipe.augment.flip_horizontal > 0  # otherwise not trained on mirrored films
    card = replace(run.assess().card, flips=mirrored)
    engine = Engine(save_bundle(out / task.name / "bundle", run.network, card))
    predicted = out / OUT_OF_FOLD
    make_folder(predicted)
    cases, trust = [], []
    for film in held_out:
        found = engine.find(film.radiograph)
        write_probability(predicted / f"{film.case.name}.png", found.probability)
        write_mask(predicted / f"{film.case.name}_mask.png", found.mask)
        scores = score(found.mask, film.mask, film.radiograph.spacing_mm)
        cases.append(CaseRecord(film.case.name, scores.to_json(), film.radiograph.spacing_mm))
        trust.append(found.trust)
    FoldRecord(
        cases=tuple(cases),
        trust=tuple(trust),
        threshold=card.threshold,
        restarts=run.restarts,
        seconds=run.history[-1].seconds if run.history else 0.0,
        parameters=sum(weights.numel() for weights in run.network.parameters()),
    ).write(out / task.record)


def read_fold(out: Path, number: int, films: Sequence[Film]) -> Fold:
    """Read fold.json of a finished fold. Raises TrainingError where it is damaged."""
    path = fold_folder(out, number) / "fold.json"
    by_name = {film.case.name: film for film in films}
    try:
        record = FoldRecord.read(path)
        if not record.cases or len(record.trust) != len(record.cases):
            raise ValueError("of other films")
        cases = tuple(_scored(case, by_name[case.name], out) for case in record.cases)
    except (OSError, ValueError, KeyError, TypeError, MaskError):
        raise TrainingError(f"{path}: is damaged; delete it and --resume") from None
    return Fold(
        number=number,
        cases=cases,
        trust=record.trust,
        threshold=record.threshold,
        restarts=record.restarts,
        seconds=record.seconds,
        parameters=record.parameters,
    )


def _scored(case: CaseRecord, film: Film, out: Path) -> CaseScores:
    """The scores of a film, computed from its mask where they are not those of this version.

    An older version lacks a metric, or the film has been calibrated since.
    """
    scores = Scores.from_json(case.scores)
    if scores is None or case.spacing_mm != film.radiograph.spacing_mm:
        mask = read_mask(out / OUT_OF_FOLD / f"{case.name}_mask.png", film.shape)
        scores = score(mask, film.mask, film.radiograph.spacing_mm)
    return CaseScores(case.name, scores, film.case.group)
