"""The result of a cross-validation: its folds, and the metrics over all films."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from boneseg._util.drawing.charts import bars, curve, linear
from boneseg._util.drawing.html import frame, titled
from boneseg._util.text import counted
from boneseg.bundle.store import Bundle
from boneseg.dataset.case import Case
from boneseg.evaluation.calibration import Calibration
from boneseg.evaluation.evaluate import summaries_table
from boneseg.evaluation.scores import CaseScores, Summary, parts_json, summarise
from boneseg.evaluation.trust import Trust
from boneseg.recipes.recipe import Recipe
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
class CrossValidation:
    """All folds, and the metrics over the out-of-fold prediction of every film."""

    out: Path
    recipe: Recipe  # settled
    fingerprint: str
    folds: tuple[Fold, ...]
    failed: tuple[tuple[int, str], ...]  # fold and reason
    summary: Summary
    parts: dict[str, Summary]  # by body part, where parts.csv lists any
    calibration: Calibration
    trust: Trust | None  # None with too few films, or without test-time augmentation
    bundle: Bundle
    cases: dict[str, Case]  # by name
    bone_share: dict[str, float]  # fraction of bone in each film's truth, in [0, 1]

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

    def to_json(self) -> dict[str, Any]:
        """Return the document of crossval.json."""
        return {
            "folds": [
                {
                    "fold": fold.number,
                    "films": len(fold.cases),
                    "threshold": fold.threshold,
                    "restarts": fold.restarts,
                    "seconds": round(fold.seconds, 1),
                    "parameters": fold.parameters,
                    "mean": fold.summary.mean,
                    "std": fold.summary.std,
                }
                for fold in self.folds
            ],
            **self.summary.to_json(),
            "std": self.summary.std,
            "failed_folds": [{"fold": number, "reason": why} for number, why in self.failed],
            "parts": parts_json(self.parts),
            "calibration": asdict(self.calibration),
            "trust": asdict(self.trust) if self.trust else None,
            "fingerprint": self.fingerprint,
            "recipe": self.recipe.model_dump(mode="json"),
            "versions": self.bundle.card.versions,
        }

    def table(self) -> str:
        """Format folds, body parts and all films, one line each, for a terminal."""
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
        low, high = self.summary.ci95["dice"]
        lines.append(f"95 % interval of the mean Dice: {low:.4f} to {high:.4f}")
        return "\n".join(lines)


def _row(name: str, summary: Summary, restarts: str) -> tuple[str, str, str, str, str, str]:
    mean = summary.mean
    dice, spread = f"{mean['dice']:.4f}", f"{summary.std['dice']:.4f}"
    return name, str(len(summary.cases)), dice, spread, f"{mean['hd95_px']:.2f}", restarts
