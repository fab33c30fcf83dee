"""Scores of masks against their truth: of a case, and their mean over cases.

The policy: masks are compared on the original pixel grid, each case on its own, then averaged.
`metrics` defines the metrics and their values for empty masks. No value is left out of a mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from boneseg._util.files import JSON
from boneseg.errors import MaskError, UsageError
from boneseg.evaluation.metrics import METRICS, MaskPair, columns
from boneseg.evaluation.statistics import bootstrap_ci95

Mask = NDArray[np.bool_]


@dataclass(frozen=True, repr=False)
class Scores:
    """One mask against its truth.

    values: by the name of the metric, in the order of `metrics.columns`; lengths in mm are None
        where the pixel spacing is not known. Each is an attribute, too: `scores.iou`.
    """

    values: Mapping[str, float | None]
    empty_prediction: bool  # no bone was predicted
    empty_truth: bool  # there is no bone

    @property
    def dice(self) -> float:
        return self["dice"]

    @property
    def hd95_px(self) -> float:
        return self["hd95_px"]

    def __getitem__(self, name: str) -> float:
        """The value of a metric. Raises KeyError where it is not known."""
        value = self.values[name]
        if value is None:
            raise KeyError(name)
        return value

    def __getattr__(self, name: str) -> float | None:
        if name in METRICS:
            return self.values[name]
        raise AttributeError(f"there is no metric named {name!r}")

    def __repr__(self) -> str:
        return f"Scores({', '.join(f'{name}={value}' for name, value in self.to_json().items())})"

    def to_json(self) -> dict[str, float | bool | None]:
        """Return every value in one flat dict, with `empty_prediction` and `empty_truth`."""
        empty = {"empty_prediction": self.empty_prediction, "empty_truth": self.empty_truth}
        return {**self.values, **empty}

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> Self | None:
        """Read the result of `to_json`; None if it lacks a current metric.

        Unknown values are ignored. Raises ValueError for a value that is not a finite number.
        """
        if any(name not in content for name in METRICS):
            return None
        values = {name: _number(name, content[name]) for name in columns()}
        return cls(values, bool(content["empty_prediction"]), bool(content["empty_truth"]))


def _number(name: str, value: object) -> float | None:
    if value is None and METRICS[name].unit == "mm":
        return None
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is not a finite number")
    return float(value)


@dataclass(frozen=True)
class CaseScores:
    """The scores of one named case; `group` is its patient, where known."""

    name: str
    scores: Scores
    group: str | None = None

    def to_json(self) -> dict[str, str | float | bool | None]:
        """Return the name and every score in one flat dict; unknown `_mm` values are None."""
        return {"name": self.name, **self.scores.to_json()}


@dataclass(frozen=True)
class Summary:
    """Scores of many cases, and per metric the mean, sample standard deviation and 95 % interval.

    An `_mm` metric is summarised only where the spacing of every case is known: a mean over some
    cases would look comparable to one over all of them.
    `empty_predictions` counts cases with an empty prediction and a non-empty truth.
    """

    cases: tuple[CaseScores, ...]
    mean: dict[str, float]
    std: dict[str, float]
    ci95: dict[str, tuple[float, float]]
    empty_predictions: int

    def to_json(self) -> dict[str, JSON]:
        """Return the document of `boneseg evaluate --json`."""
        return {
            "cases": [{**case.to_json()} for case in self.cases],
            "mean": {**self.mean},
            "ci95": {name: list(interval) for name, interval in self.ci95.items()},
            "empty_predictions": self.empty_predictions,
        }


def score(
    prediction: Mask,
    truth: Mask,
    spacing_mm: tuple[float, float] | None = None,
    nsd_tolerance_px: float = 2.0,
) -> Scores:
    """Score one predicted mask against the truth.

    prediction, truth: bool, height × width, of the same size.
    spacing_mm: millimetres between rows and between columns, in this order (DICOM PS3.3 10.7.1.3),
        or None where unknown.
    nsd_tolerance_px: boundary distance, in pixels, that still counts as correct.

    Raises MaskError for masks that are not boolean, not 2-D or not of the same size, and UsageError
    for a spacing that is not positive or a tolerance below 0.
    """
    _check(prediction, truth, spacing_mm, nsd_tolerance_px)
    pair = MaskPair(prediction, truth, nsd_tolerance_px)
    in_mm = pair.in_mm(spacing_mm) if spacing_mm is not None else None
    empty = (pair.predicted == 0) + (pair.true == 0)
    values: dict[str, float | None] = {}
    for name in columns():
        metric = METRICS[name]
        used = in_mm if metric.unit == "mm" else pair
        values[name] = metric.value(used, empty) if used is not None else None
    return Scores(values, empty_prediction=pair.predicted == 0, empty_truth=pair.true == 0)


def summarise(cases: Iterable[CaseScores]) -> Summary:
    """Summarise scored cases: empty dicts for none, a standard deviation of 0 for one."""
    cases = tuple(cases)
    found = {name: [case.scores.values[name] for case in cases] for name in columns()}
    known = {name: np.array(c, np.float64) for name, c in found.items() if c and None not in c}
    groups = [case.group for case in cases]
    return Summary(
        cases=cases,
        mean={name: float(values.mean()) for name, values in known.items()},
        std={n: float(v.std(ddof=1)) if v.size > 1 else 0.0 for n, v in known.items()},
        ci95={name: bootstrap_ci95(values, groups=groups) for name, values in known.items()},
        empty_predictions=sum(
            case.scores.empty_prediction and not case.scores.empty_truth for case in cases
        ),
    )


def by_part(summary: Summary, parts: Mapping[str, str | None]) -> dict[str, Summary]:
    """Return the summary of each body part; empty where no part is known."""
    known = sorted({part for case in summary.cases if (part := parts.get(case.name))})
    return {
        part: summarise(case for case in summary.cases if parts.get(case.name) == part)
        for part in known
    }


def parts_json(parts: Mapping[str, Summary]) -> dict[str, JSON]:
    """Return the body-part rows used in every JSON document."""
    return {
        part: {
            "films": len(found.cases),
            "mean": {**found.mean},
            "ci95": {name: list(interval) for name, interval in found.ci95.items()},
        }
        for part, found in parts.items()
    }


def _check(
    prediction: Mask, truth: Mask, spacing_mm: Sequence[float] | None, tolerance: float
) -> None:
    if prediction.shape != truth.shape:
        raise MaskError(
            f"the prediction is {_size(prediction)} pixels and the truth {_size(truth)} "
            "(height × width); compare masks of one film on its own pixel grid"
        )
    if prediction.ndim != 2 or prediction.dtype != np.bool_ or truth.dtype != np.bool_:
        raise MaskError(
            f"masks must be boolean, height × width; got {prediction.dtype} and {truth.dtype} "
            f"of {_size(truth)}"
        )
    if spacing_mm is not None and not all(0 < step < math.inf for step in spacing_mm):
        raise UsageError(f"the pixel spacing {tuple(spacing_mm)} mm is not positive")
    if not tolerance >= 0:
        raise UsageError(f"the tolerance is {tolerance} px; give 0 or more")


def _size(mask: Mask) -> str:
    return " × ".join(str(length) for length in mask.shape)
