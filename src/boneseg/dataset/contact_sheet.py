"""A contact sheet of a dataset: its films with their masks, those with problems first.

contact_sheet(dataset, Path("sheet.png"), report=check_dataset(dataset))
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps

from boneseg.dataset.audit import CheckReport
from boneseg.dataset.case import Case
from boneseg.dataset.open import Dataset
from boneseg.errors import DatasetError
from boneseg.masks.formats.png import save_png
from boneseg.radiograph.read import read_radiograph

# Colour-blind safe (Okabe & Ito): bone, and the frame of a problem.
_ORANGE, _BLUE = (230, 159, 0), (86, 180, 233)
_GREY = (200, 200, 200)
_GAP, _CAPTION, _NARROWEST = 3, 28, 72  # room for a name below


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
    problems = _problems(report)
    chosen = _chosen(dataset.cases, problems, limit)
    pictures = [_picture(case, 2 * tile) for case in chosen]
    box = _box([film for film, _ in pictures if film is not None], tile)
    columns = max(1, min(columns, len(chosen)))
    step = box[0] + 2 * _GAP, box[1] + 2 * _GAP + _CAPTION
    sheet = Image.new("RGB", (columns * step[0], -(-len(chosen) // columns) * step[1]))
    for index, (case, (film, mask)) in enumerate(zip(chosen, pictures, strict=True)):
        shown = _tile(film, mask, box, case.name, problems.get(case.name))
        sheet.paste(shown, (index % columns * step[0], index // columns * step[1]))
    save_png(path, sheet)


def _problems(report: CheckReport | None) -> dict[str, str]:
    """The kind of the first problem of each case that has one."""
    kinds: dict[str, str] = {}
    for problem in report.problems if report else ():
        for name in problem.names if not problem.kind.startswith("unpaired") else ():
            kinds.setdefault(name, problem.kind)
    return kinds


def _box(films: Sequence[Image.Image], tile: int) -> tuple[int, int]:
    """The width and height of a tile: the area of tile x tile, and the median shape of films."""
    aspects = [film.width / film.height for film in films]
    root = math.sqrt(min(max(float(np.median(aspects)) if aspects else 1.0, 0.125), 8.0))
    return max(round(tile * root), _NARROWEST), round(tile / root)


def _chosen(cases: Sequence[Case], problems: Collection[str], limit: int) -> list[Case]:
    first = [case for case in cases if case.name in problems][:limit]
    others = [case for case in cases if case.name not in problems]
    room = min(limit - len(first), len(others))
    picks = np.linspace(0, len(others) - 1, room).round().astype(int).tolist() if room else []
    return first + [others[pick] for pick in picks]


def _picture(case: Case, side: int) -> tuple[Image.Image | None, Image.Image | None]:
    """A film and its mask in grey, downsampled to an area of side x side; None if unreadable."""

    def smaller(values: NDArray[np.bool_] | NDArray[np.float32]) -> Image.Image:
        image = Image.fromarray((values * 255).astype(np.uint8))
        scale = min(1.0, side / math.sqrt(image.width * image.height))
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        return image.resize(size, Image.Resampling.BOX)

    try:
        pixels = read_radiograph(case.image).pixels
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
