"""Find the problems of a dataset before training on it.

    report = check_dataset(survey_dataset(Path("data")))
    for problem in report.problems:
        print(problem.kind, problem.names, problem.detail)

A broken file never stops the check. A problem is serious if training on the dataset would fail or
learn something wrong; the others are warnings.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boneseg.dataset.case import Case
from boneseg.dataset.duplicates import near_duplicates, thumbnail
from boneseg.dataset.open import Dataset
from boneseg.dataset.splits import hold_out
from boneseg.errors import BonesegError, DatasetError, MaskError, unexpected
from boneseg.masks.picture import UnclearMaskError
from boneseg.masks.types import MaskSizeError
from boneseg.preprocessing import Floats
from boneseg.radiograph.privacy import public_path
from boneseg.radiograph.read import read_radiograph

_INVERTED, _DARKER = 0.9, -0.3
_BEYOND = 2  # px; tolerance of manual drawing at the edge of a film


@dataclass(frozen=True)
class Problem:
    """A problem: its kind, the affected cases or files, and a description."""

    kind: str
    names: tuple[str, ...]
    detail: str
    serious: bool


@dataclass(frozen=True)
class CheckReport:
    """The contents of a dataset and its problems.

    `bone_share` is the minimum, median and maximum fraction of bone in a film (0..1), None without
    a readable mask; `sizes` counts (height, width, films). `clusters` and `shares` have one entry
    per case, as `split_folds` takes them; the share of an unreadable case is nan.
    """

    films: int
    masks: int
    cases: int
    groups: int
    parts: tuple[tuple[str, int], ...]
    sizes: tuple[tuple[int, int, int], ...]
    bone_share: tuple[float, float, float] | None
    problems: tuple[Problem, ...]
    clusters: tuple[int, ...]
    shares: tuple[float, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no serious problem."""
        return not any(problem.serious for problem in self.problems)

    def to_json(self) -> dict[str, object]:
        """Plain dicts, lists and numbers; without `clusters` and `shares`."""
        return {
            "ok": self.ok,
            "films": self.films,
            "masks": self.masks,
            "cases": self.cases,
            "groups": self.groups,
            "parts": dict(self.parts),
            "sizes": [{"height": h, "width": w, "films": count} for h, w, count in self.sizes],
            "bone_share": self.bone_share
            and dict(zip(("min", "median", "max"), self.bone_share, strict=True)),
            "problems": [
                asdict(problem) | {"names": list(problem.names)} for problem in self.problems
            ],
        }


@dataclass(frozen=True)
class _Findings:
    """The findings for one case; of its film only the thumbnail is kept."""

    small: Floats | None = None
    size: tuple[int, int] | None = None
    share: float = math.nan
    problems: tuple[tuple[str, str], ...] = ()


_SERIOUS = frozenset(("unreadable film", "unreadable mask", "unexpected values", "size mismatch"))
_CONSTANT = frozenset(("empty mask", "full mask"))


def check_dataset(
    dataset: Dataset, progress: Callable[[int, int], None] | None = None
) -> CheckReport:
    """Read every film and mask once and report all problems.

    Kinds: "no pairs", "too few films" (of different patients, without near-duplicates), "unreadable
    film", "unreadable mask", "unexpected values", "size mismatch" (all serious); "empty mask",
    "full mask" (serious if there are no other masks); "table" (serious if it cannot be used, or if
    groups.csv omits a film); "maybe inverted", "blank film", "near-duplicates" (folds keep them
    together), "cut off", "unpaired image" and "unpaired mask" (warnings). Files that the dataset
    omitted because of an error are an "unreadable mask" without a name. `progress` is called with
    (cases done, cases).
    """
    findings = []
    for count, case in enumerate(dataset.cases, start=1):
        findings.append(_examine(case))
        if progress:
            progress(count, len(dataset.cases))
    clusters = _clusters(findings)
    shares = [found.share for found in findings if not math.isnan(found.share)]
    sizes = Counter(found.size for found in findings if found.size is not None)
    return CheckReport(
        films=dataset.films,
        masks=len(dataset.cases) + len(dataset.unpaired_masks),
        cases=len(dataset.cases),
        groups=len({case.group for case in dataset.cases if case.group is not None}),
        parts=tuple(sorted(Counter(c.part for c in dataset.cases if c.part is not None).items())),
        sizes=tuple((height, width, count) for (height, width), count in sizes.most_common()),
        bone_share=(min(shares), float(np.median(shares)), max(shares)) if shares else None,
        problems=tuple(_problems(dataset, findings, clusters)),
        clusters=tuple(clusters),
        shares=tuple(found.share for found in findings),
    )


def _examine(case: Case) -> _Findings:
    found = _Findings()
    problems = []
    try:
        pixels = read_radiograph(case.image).pixels
        found = _Findings(small=thumbnail(pixels), size=(pixels.shape[0], pixels.shape[1]))
        if pixels.min() == pixels.max():
            problems.append(("blank film", f"{case.image_name}: all pixels are equal"))
    except BonesegError as error:
        problems.append(("unreadable film", str(error)))
    except Exception as error:  # from a library: its message could quote the file
        problems.append(("unreadable film", unexpected(case.image_name, error)))
    try:
        mask = case.read_mask(found.size)
        found = replace(found, share=float(mask.mean()))
        problems += _mask_warnings(case, mask, found.small)
        problems += _cut_off(case, mask)
    except UnclearMaskError as error:
        problems.append(("unexpected values", str(error)))
    except MaskSizeError as error:
        problems.append(("size mismatch", str(error)))
    except MaskError as error:
        problems.append(("unreadable mask", str(error)))
    except Exception as error:
        problems.append(("unreadable mask", unexpected(case.mask_name, error)))
    return replace(found, problems=tuple(problems))


def _cut_off(case: Case, mask: NDArray[np.bool_]) -> list[tuple[str, str]]:
    """A warning if polygons reach beyond the film. Raises MaskError."""
    beyond = case.cut_off((mask.shape[0], mask.shape[1]))
    if beyond <= _BEYOND:
        return []
    detail = f"{case.mask_name}: polygons reach {beyond:.0f} px beyond the film"
    return [("cut off", f"{detail}; the part outside is clipped")]


def _mask_warnings(
    case: Case, mask: NDArray[np.bool_], small: Floats | None
) -> list[tuple[str, str]]:
    """Warnings about the amount and place of bone in a mask."""
    share = mask.mean()
    if share == 0:
        return [("empty mask", f"{case.mask_name}: contains no bone")]
    if share == 1:
        return [("full mask", f"{case.mask_name}: every pixel is bone")]
    if share > _INVERTED:
        detail = f"{case.mask_name}: {share:.0%} is bone; if it shows bone as 0, invert it"
        return [("maybe inverted", detail)]
    if small is not None and _contrast(small, mask) < _DARKER:
        detail = f"{case.image_name}: bone is darker than its surroundings"
        advice = "if the film is a negative, or the mask shows bone as 0, invert it"
        return [("maybe inverted", f"{detail}; {advice}")]
    return []


def _contrast(small: Floats, mask: NDArray[np.bool_]) -> float:
    """Mean brightness just inside the mask minus just outside, in standard deviations of the film.

    Within 3 cells of the thumbnail on either side: of 442 leg, knee and spine films none is below
    0.06 except three negatives, which are below -1.
    """
    from scipy.ndimage import binary_dilation, binary_erosion

    bone = thumbnail(mask.astype(np.float32)) > 0.5
    inside = small[bone & ~binary_erosion(bone, iterations=3, border_value=1)]
    outside = small[~bone & binary_dilation(bone, iterations=3)]
    if not (inside.size and outside.size and small.std()):
        return 0.0
    return float((inside.mean() - outside.mean()) / small.std())


def _clusters(findings: Sequence[_Findings]) -> list[int]:
    """The cluster of each case; an unreadable film has its own."""
    readable = [(i, found.small) for i, found in enumerate(findings) if found.small is not None]
    clusters = list(range(len(findings)))
    labels = near_duplicates([small for _, small in readable])
    for (index, _), label in zip(readable, labels, strict=True):
        clusters[index] = readable[label][0]
    return clusters


def _problems(
    dataset: Dataset, findings: Sequence[_Findings], clusters: Sequence[int]
) -> list[Problem]:
    """All problems, serious ones first."""
    problems = _of_dataset(dataset, clusters)
    readable = [found for found in findings if not math.isnan(found.share)]
    nothing_to_learn = all(found.share in (0, 1) for found in readable)
    serious = _SERIOUS | (_CONSTANT if nothing_to_learn else frozenset())
    for case, found in zip(dataset.cases, findings, strict=True):
        problems += [
            Problem(kind, (case.name,), text, kind in serious) for kind, text in found.problems
        ]
    problems += _duplicates(dataset.cases, clusters)
    problems += _unpaired("unpaired image", dataset.unpaired_images, "has no mask")
    problems += _unpaired("unpaired mask", dataset.unpaired_masks, "has no film")
    remarks = dataset.remarks + dataset.gaps
    problems += [Problem("table", (), remark, False) for remark in remarks]
    return sorted(problems, key=lambda problem: not problem.serious)


def _of_dataset(dataset: Dataset, clusters: Sequence[int]) -> list[Problem]:
    """Problems of the dataset as a whole."""
    problems = []
    if not dataset.cases and not dataset.faults:
        detail = f"{dataset.root}: no mask matches a film by name; give both the same name"
        problems.append(Problem("no pairs", (), detail, True))
    problems += [Problem("unreadable mask", (), fault, True) for fault in dataset.faults]
    problems += [Problem("table", (), fault, True) for fault in dataset.table_faults]
    if dataset.cases and not _can_be_split(dataset.cases, clusters):
        detail = (
            f"{dataset.root}: all films are of one patient or are copies of one image; add others"
        )
        problems.append(Problem("too few films", (), detail, True))
    return problems


def _duplicates(cases: Sequence[Case], clusters: Sequence[int]) -> list[Problem]:
    members = defaultdict(list)
    for case, cluster in zip(cases, clusters, strict=True):
        members[cluster].append(case.name)
    advice = "show the same image; they stay in one fold, but one is enough"
    return [
        Problem("near-duplicates", tuple(names), f"{', '.join(names)}: {advice}", False)
        for names in members.values()
        if len(names) > 1
    ]


def _unpaired(kind: str, paths: Sequence[Path], lacks: str) -> list[Problem]:
    names = [public_path(path) for path in paths]
    return [Problem(kind, (name.name,), f"{name}: {lacks}; left out", False) for name in names]


def _can_be_split(cases: Sequence[Case], clusters: Sequence[int]) -> bool:
    """Whether the films can be split into independent training and validation sets."""
    try:
        hold_out(cases, clusters, fraction=0.5, seed=0)
    except DatasetError:
        return False
    return True
