"""Find the problems of a dataset before training on it.

    report = check_dataset(open_dataset(Path("data")))
    for problem in report.problems:
        print(problem.kind, problem.names, problem.detail)
    contact_sheet(dataset, Path("sheet.png"), report=report)

A broken file never stops the check. A problem is serious if training on the dataset would fail or
learn something wrong; the others are warnings.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps

from boneseg.dataset.open import Case, Dataset
from boneseg.dataset.splits import hold_out, thumbnail, twins
from boneseg.errors import BonesegError, DatasetError, MaskError, unexpected
from boneseg.masks.drawing import MaskSizeError
from boneseg.masks.formats.png import UnclearMaskError, save_png
from boneseg.radiograph.privacy import public_path

# Colour-blind safe (Okabe & Ito): bone, and the frame of a problem.
_ORANGE, _BLUE = (230, 159, 0), (86, 180, 233)
_GREY = (200, 200, 200)
_GAP, _CAPTION, _NARROWEST = 3, 28, 72  # room for a name below
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

    def to_json(self) -> dict[str, Any]:
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
class _Look:
    """The findings for one case; of its film only the thumbnail is kept."""

    small: NDArray[np.float32] | None = None
    size: tuple[int, int] | None = None
    share: float = math.nan
    problems: tuple[tuple[str, str], ...] = ()


_SERIOUS = frozenset(
    ("no pairs", "unreadable film", "unreadable mask", "unexpected values", "size mismatch")
)


def check_dataset(
    dataset: Dataset, progress: Callable[[int, int], None] | None = None
) -> CheckReport:
    """Read every film and mask once and report all problems.

    Kinds: "no pairs", "too few films" (independent ones: of different patients and not twins),
    "unreadable film", "unreadable mask", "unexpected values", "size mismatch" (all serious); "empty
    mask", "full mask" (serious if there are no other masks); "maybe inverted", "blank film",
    "twins" (folds keep them together), "cut off", "unpaired image", "unpaired mask" and "table"
    (warnings). Files that the dataset omitted because of an error are an "unreadable mask" without
    a name. `progress` is called with (cases done, cases).
    """
    looks = []
    for count, case in enumerate(dataset.cases, start=1):
        looks.append(_look(case))
        if progress:
            progress(count, len(dataset.cases))
    clusters = _clusters(dataset.cases, looks)
    shares = [look.share for look in looks if not math.isnan(look.share)]
    sizes = Counter(look.size for look in looks if look.size is not None)
    return CheckReport(
        films=len(dataset.cases) + len(dataset.unpaired_images),
        masks=len(dataset.cases) + len(dataset.unpaired_masks),
        cases=len(dataset.cases),
        groups=len({case.group for case in dataset.cases if case.group is not None}),
        parts=tuple(sorted(Counter(c.part for c in dataset.cases if c.part is not None).items())),
        sizes=tuple((height, width, count) for (height, width), count in sizes.most_common()),
        bone_share=(min(shares), float(np.median(shares)), max(shares)) if shares else None,
        problems=tuple(_problems(dataset, looks, clusters)),
        clusters=tuple(clusters),
        shares=tuple(look.share for look in looks),
    )


def _look(case: Case) -> _Look:
    look = _Look()
    problems = []
    try:
        pixels = _film(case)
        look = _Look(small=thumbnail(pixels), size=(pixels.shape[0], pixels.shape[1]))
        if pixels.min() == pixels.max():
            problems.append(("blank film", f"{case.image_name}: all pixels are equal"))
    except BonesegError as error:
        problems.append(("unreadable film", str(error)))
    except Exception as error:  # from a library: its message could quote the file
        problems.append(("unreadable film", unexpected(case.image_name, error)))
    try:
        mask = case.read_mask(look.size)
        look = replace(look, share=float(mask.mean()))
        problems += _doubts(case, mask, look.small)
        beyond = case.cut_off((mask.shape[0], mask.shape[1]))
        if beyond > _BEYOND:
            detail = f"{case.mask_name}: polygons reach {beyond:.0f} px beyond the film"
            problems.append(("cut off", f"{detail}; the part outside is clipped"))
    except UnclearMaskError as error:
        problems.append(("unexpected values", str(error)))
    except MaskSizeError as error:
        problems.append(("size mismatch", str(error)))
    except MaskError as error:
        problems.append(("unreadable mask", str(error)))
    except Exception as error:
        problems.append(("unreadable mask", unexpected(case.mask_name, error)))
    return replace(look, problems=tuple(problems))


def _film(case: Case) -> NDArray[np.float32]:
    from boneseg.radiograph.read import read_radiograph

    return read_radiograph(case.image).pixels


def _doubts(
    case: Case, mask: NDArray[np.bool_], small: NDArray[np.float32] | None
) -> list[tuple[str, str]]:
    """Warnings about a readable mask."""
    share = mask.mean()
    if share == 0:
        return [("empty mask", f"{case.mask_name}: contains no bone")]
    if share == 1:
        return [("full mask", f"{case.mask_name}: every pixel is bone")]
    if share > _INVERTED:
        detail = f"{case.mask_name}: {share:.0%} is bone; the mask may be inverted"
        return [("maybe inverted", detail)]
    if small is not None and _contrast(small, mask) < _DARKER:
        detail = (
            f"{case.image_name}: bone is darker than its surroundings; the film may be a negative"
        )
        return [("maybe inverted", f"{detail}, or the mask inverted")]
    return []


def _contrast(small: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
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


def _clusters(cases: Sequence[Case], looks: Sequence[_Look]) -> list[int]:
    """The cluster of each case; an unreadable film has its own."""
    seen = [(index, look.small) for index, look in enumerate(looks) if look.small is not None]
    found = twins([cases[index] for index, _ in seen], [small for _, small in seen])
    clusters = list(range(len(cases)))
    for (index, _), cluster in zip(seen, found, strict=True):
        clusters[index] = seen[cluster][0]
    return clusters


def _problems(dataset: Dataset, looks: Sequence[_Look], clusters: Sequence[int]) -> list[Problem]:
    """All problems, serious ones first."""
    problems = []
    if not dataset.cases:
        detail = f"{dataset.root}: no mask matches a film by name; give both the same name"
        problems.append(Problem("no pairs", (), detail, True))
    problems += [Problem("unreadable mask", (), fault, True) for fault in dataset.faults]
    if dataset.cases and not _can_be_split(dataset.cases, clusters):
        detail = (
            f"{dataset.root}: all films are of one patient or are copies of one image; add others"
        )
        problems.append(Problem("too few films", (), detail, True))
    readable = [look for look in looks if not math.isnan(look.share)]
    pointless = all(look.share in (0, 1) for look in readable)  # nothing to learn
    for case, look in zip(dataset.cases, looks, strict=True):
        for kind, detail in look.problems:
            serious = kind in _SERIOUS or (pointless and kind in ("empty mask", "full mask"))
            problems.append(Problem(kind, (case.name,), detail, serious))
    members = defaultdict(list)
    for case, cluster in zip(dataset.cases, clusters, strict=True):
        members[cluster].append(case.name)
    for names in members.values():
        if len(names) > 1:
            reason = "show the same image; they stay in one fold, but one is enough"
            detail = f"{', '.join(names)}: {reason}"
            problems.append(Problem("twins", tuple(names), detail, False))
    for kind, paths in (
        ("unpaired image", dataset.unpaired_images),
        ("unpaired mask", dataset.unpaired_masks),
    ):
        lacks = "has no mask" if kind == "unpaired image" else "has no film"
        called = [public_path(path) for path in paths]
        problems += [Problem(kind, (p.name,), f"{p}: {lacks}; left out", False) for p in called]
    problems += [Problem("table", (), remark, False) for remark in dataset.remarks]
    return sorted(problems, key=lambda problem: not problem.serious)


def _can_be_split(cases: Sequence[Case], clusters: Sequence[int]) -> bool:
    """Whether the films can be split into independent training and validation sets."""
    try:
        hold_out(cases, clusters, fraction=0.5, seed=0)
    except DatasetError:
        return False
    return True


def contact_sheet(
    dataset: Dataset,
    path: Path,
    *,
    report: CheckReport | None = None,
    columns: int = 12,
    tile: int = 160,
    limit: int = 60,
) -> None:
    """Write a PNG contact sheet of films with their masks overlaid in orange.

    Cases with a problem in `report` come first, framed in blue with its kind; the others are
    sampled evenly in order of name, `limit` tiles in all. A tile has the area of `tile` x `tile`
    pixels and the typical shape of the films. Raises DatasetError without cases and OutputError if
    the file cannot be written.
    """
    if not dataset.cases:
        raise DatasetError(
            f"{dataset.root}: holds no pairs to show; give each mask the name of its film"
        )
    wrong: dict[str, str] = {}
    for problem in report.problems if report else ():
        for name in problem.names if not problem.kind.startswith("unpaired") else ():
            wrong.setdefault(name, problem.kind)
    chosen = _chosen(dataset.cases, wrong, limit)
    pictures = [_picture(case, 2 * tile) for case in chosen]
    aspects = [film.width / film.height for film, _ in pictures if film is not None]
    root = math.sqrt(min(max(float(np.median(aspects)) if aspects else 1.0, 0.125), 8.0))
    box = max(round(tile * root), _NARROWEST), round(tile / root)
    columns = max(1, min(columns, len(chosen)))
    step = box[0] + 2 * _GAP, box[1] + 2 * _GAP + _CAPTION
    sheet = Image.new("RGB", (columns * step[0], -(-len(chosen) // columns) * step[1]))
    for index, (case, (film, mask)) in enumerate(zip(chosen, pictures, strict=True)):
        shown = _tile(film, mask, box, case.name, wrong.get(case.name))
        sheet.paste(shown, (index % columns * step[0], index // columns * step[1]))
    save_png(path, sheet)


def _chosen(cases: Sequence[Case], wrong: Collection[str], limit: int) -> list[Case]:
    first = [case for case in cases if case.name in wrong][:limit]
    others = [case for case in cases if case.name not in wrong]
    room = min(limit - len(first), len(others))
    picks = np.linspace(0, len(others) - 1, room).round().astype(int).tolist() if room else []
    return first + [others[pick] for pick in picks]


def _picture(case: Case, side: int) -> tuple[Image.Image | None, Image.Image | None]:
    """A film and its mask in grey, downsampled to an area of side x side; None if unreadable."""

    def smaller(values: NDArray[Any]) -> Image.Image:
        image = Image.fromarray((values * 255).astype(np.uint8))
        scale = min(1.0, side / math.sqrt(image.width * image.height))
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        return image.resize(size, Image.Resampling.BOX)

    try:
        pixels = _film(case)
    except Exception:  # reported by the check
        return None, None
    try:
        return smaller(pixels), smaller(case.read_mask((pixels.shape[0], pixels.shape[1])))
    except Exception:
        return smaller(pixels), None


def _tile(
    film: Image.Image | None,
    mask: Image.Image | None,
    box: tuple[int, int],
    name: str,
    problem: str | None,
) -> Image.Image:
    """One film in its box with its mask overlaid, and its name and problem below."""
    tile = Image.new("RGB", (box[0] + 2 * _GAP, box[1] + 2 * _GAP + _CAPTION))
    draw = ImageDraw.Draw(tile)
    if film is not None:
        scale = min(box[0] / film.width, box[1] / film.height)
        size = (max(1, round(film.width * scale)), max(1, round(film.height * scale)))
        corner = (_GAP + (box[0] - size[0]) // 2, _GAP + (box[1] - size[1]) // 2)
        tile.paste(_overlay(film.resize(size), mask and mask.resize(size)), corner)
    for line, text in enumerate((name, problem or "")):
        text = _plain(text)
        font = ImageFont.load_default(10)
        while text and draw.textlength(text, font) > box[0]:
            text = text[:-2] + "\u2026" if len(text) > 2 else ""
        draw.text((_GAP, box[1] + 2 * _GAP + 13 * line), text, (_GREY, _BLUE)[line], font)
    if problem is not None:
        draw.rectangle((0, 0, tile.width - 1, tile.height - 1), outline=_BLUE, width=2)
    return tile


def _plain(text: str) -> str:
    """Text on one line, without accents, which the font cannot render."""
    apart = unicodedata.normalize("NFKD", text.encode(errors="replace").decode())
    return " ".join("".join(c for c in apart if not unicodedata.combining(c)).split())


def _overlay(film: Image.Image, mask: Image.Image | None) -> Image.Image:
    """The film with the mask as a translucent fill and an opaque outline."""
    grey = film.convert("RGB")
    if mask is None:
        return grey
    bone = mask.point(lambda level: 255 if level >= 128 else 0)
    inside = ImageOps.expand(bone, 1).filter(ImageFilter.MinFilter(3))
    outline = ImageChops.subtract(bone, ImageOps.crop(inside, 1))
    veil = ImageChops.add(bone.point(lambda level: level // 4), outline)
    return Image.composite(Image.new("RGB", grey.size, _ORANGE), grey, veil)
