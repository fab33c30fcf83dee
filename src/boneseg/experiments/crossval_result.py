"""The result of a cross-validation: its folds, and the metrics over all films."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

from boneseg._util.documents import Document
from boneseg._util.drawing.charts import bars, curve, linear
from boneseg._util.drawing.html import frame, titled
from boneseg._util.text import counted
from boneseg.bundle.store import Bundle
from boneseg.dataset.case import Case
from boneseg.dataset.load import Film
from boneseg.evaluation.calibration import Calibration
from boneseg.evaluation.scores import CaseScores, Summary, summarise
from boneseg.evaluation.tables import metrics_text, summaries_table
from boneseg.evaluation.trust import Trust
from boneseg.recipes.recipe import SettledRecipe
from boneseg.training.history import read_curve


@dataclass(frozen=True)
class Fold:
    """One training run and its scores on the held-out films."""

    number: int  # from 1
    cases: tuple[CaseScores, ...]
    trust: tuple[float | None, ...]  # of each case
    threshold: float
    restarts: int
    seconds: float
    parameters: int

    @property
    def summary(self) -> Summary:
        return summarise(self.cases)


@dataclass(frozen=True)
class FoldSummary:
    """A fold in crossval.json."""

    fold: int
    films: int
    threshold: float
    restarts: int
    seconds: float
    parameters: int
    mean: dict[str, float]
    std: dict[str, float]


@dataclass(frozen=True)
class FailedFold:
    """A failed fold in crossval.json."""

    fold: int
    reason: str


@dataclass(frozen=True)
class PartSummary:
    """A body part in crossval.json."""

    films: int
    mean: dict[str, float]
    ci95: dict[str, tuple[float, float]]


class CrossvalDocument(Document):
    """The content of crossval.json."""

    folds: tuple[FoldSummary, ...]
    cases: tuple[dict[str, str | bool | float | None], ...]  # name and scores
    mean: dict[str, float]
    std: dict[str, float]
    ci95: dict[str, tuple[float, float]]
    empty_predictions: int
    failed_folds: tuple[FailedFold, ...]
    parts: dict[str, PartSummary]
    calibration: Calibration
    trust: Trust | None
    fingerprint: str
    recipe: SettledRecipe
    versions: dict[str, str]


@dataclass(frozen=True)
class CrossValidation:
    """All folds, and the metrics over the out-of-fold prediction of every film."""

    out: Path  # run folder
    recipe: SettledRecipe  # with what was derived from the films
    fingerprint: str  # digest of the films
    folds: tuple[Fold, ...]  # without failed ones
    failed: tuple[tuple[int, str], ...]  # fold and reason
    summary: Summary  # of all films, each by the model that did not see it
    parts: dict[str, Summary]  # by body part, where parts.csv lists any
    calibration: Calibration  # of the ensemble
    trust: Trust | None  # None with too few films, or without test-time augmentation
    bundle: Bundle  # the ensemble
    films: dict[str, Film]  # by name

    @property
    def cases(self) -> dict[str, Case]:
        """The cases by name."""
        return {name: film.case for name, film in self.films.items()}

    def __repr__(self) -> str:
        mean, folds = self.summary.mean, counted(len(self.folds), "fold")
        return f"CrossValidation(Dice {mean['dice']:.4f}, {folds}, {self.out})"

    def _repr_html_(self) -> str:
        rows = [(f"fold {fold.number}", fold.summary) for fold in self.folds]
        rows += [*self.parts.items(), ("all films", self.summary)]
        failed = "".join(f"<p>Fold {n} failed: {escape(why)}</p>" for n, why in self.failed)
        return frame(summaries_table(rows) + failed + self._figures())

    def _figures(self) -> str:
        """The HTML of the folds' curves and of the histogram of HD95."""
        lines = [
            [
                (seconds / 60, dice)
                for seconds, dice in read_curve(self.out / f"fold-{fold.number}" / "history.csv")
            ]
            for fold in self.folds
        ]
        across = linear(max((x for line in lines for x, _ in line), default=1.0))
        curves = curve("Dice", across, linear(1), lines, unit="minutes")
        distances = [case.scores.hd95_px for case in self.summary.cases]
        histogram = bars("HD95", linear(max(distances)), distances, unit="px")
        return titled("Validation Dice of each fold", curves) + titled("Films by HD95", histogram)

    def document(self) -> CrossvalDocument:
        """The content of crossval.json."""
        found = self.summary
        return CrossvalDocument(
            folds=tuple(_fold_summary(fold) for fold in self.folds),
            cases=tuple(case.to_json() for case in found.cases),
            mean=found.mean,
            std=found.std,
            ci95=found.ci95,
            empty_predictions=found.empty_predictions,
            failed_folds=tuple(FailedFold(number, why) for number, why in self.failed),
            parts={
                part: PartSummary(len(one.cases), one.mean, one.ci95)
                for part, one in self.parts.items()
            },
            calibration=self.calibration,
            trust=self.trust,
            fingerprint=self.fingerprint,
            recipe=self.recipe,
            versions=self.bundle.card.versions,
        )

    def to_json(self) -> dict[str, object]:
        """Return the document of crossval.json as plain data."""
        return self.document().model_dump()

    def table(self) -> str:
        """Format folds, body parts and all films, then each metric, for a terminal."""
        rows = [("", "films", "Dice", "std", "HD95 px", "restarts")]
        for fold in self.folds:
            rows.append(_row(f"fold {fold.number}", fold.summary, str(fold.restarts)))
        for number, _ in self.failed:
            rows.append((f"fold {number}", "", "failed", "", "", ""))
        rows += [_row(part, found, "") for part, found in self.parts.items()]
        rows.append(_row("all", self.summary, ""))
        lines = [
            f"{a:<12} {b:>6} {c:>8} {d:>8} {e:>8} {f:>9}".rstrip() for a, b, c, d, e, f in rows
        ]
        return "\n".join([*lines, "", metrics_text(self.summary)])


def _fold_summary(fold: Fold) -> FoldSummary:
    found = fold.summary
    return FoldSummary(
        fold=fold.number,
        films=len(fold.cases),
        threshold=fold.threshold,
        restarts=fold.restarts,
        seconds=round(fold.seconds, 1),
        parameters=fold.parameters,
        mean=found.mean,
        std=found.std,
    )


def _row(name: str, summary: Summary, restarts: str) -> tuple[str, str, str, str, str, str]:
    mean = summary.mean
    dice, spread = f"{mean['dice']:.4f}", f"{summary.std['dice']:.4f}"
    return name, str(len(summary.cases)), dice, spread, f"{mean['hd95_px']:.2f}", restarts
