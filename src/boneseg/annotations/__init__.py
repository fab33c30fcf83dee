"""Masks in the files of other programs: one module a format, alike in shape.

    for drawing in open_annotations(Path("coco.json")):
        drawing.name                                   # "knee.png", as the file calls the film
        merged(drawing.read(), path, (1024, 512))      # bool, H x W

A file speaks of one film (LabelMe, YOLO, .seg.nrrd, NIfTI), of several (COCO, CVAT, Label Studio),
or points at the film by its UID (DICOM Segmentation). In each film, labelled regions are drawn. All
of them are bone, or those of the labels that are asked for; what is labelled as a hole is cut out
of what was drawn before it; and a label that says that nobody knows is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boneseg.errors import MaskError
from boneseg.radiograph import MAX_PIXELS
from boneseg.words import listed

Mask = NDArray[np.bool_]
Shape = tuple[int, int]  # height, width

SUFFIXES = (".json", ".xml", ".txt", ".seg.nrrd", ".nrrd", ".nii.gz", ".nii")
DICOM_SUFFIXES = (".dcm", ".dicom", ".dic")
_MODULES = {
    ".xml": "cvat",
    ".txt": "yolo",
    ".seg.nrrd": "nrrd",
    ".nrrd": "nrrd",
    ".nii.gz": "nifti",
    ".nii": "nifti",
}
_JSON = ("labelme", "coco", "label_studio")
_HOLES = frozenset(("hole", "background", "_background_"))
_DOUBTFUL = frozenset(
    ("ignore", "__ignore__", "void", "unlabeled", "unlabelled", "unknown", "uncertain", "unsure")
)


class UnknownAnnotationError(MaskError):
    """A file that can be decoded, but holds no annotations of a known kind."""


class MaskSizeError(MaskError):
    """A mask on another grid than its film's; both are (height, width)."""

    def __init__(self, path: Path, size: Shape, film: Shape) -> None:
        self.size, self.film = size, film
        super().__init__(
            f"{path}: mask is {size[0]} x {size[1]} pixels but its film is {film[0]} x {film[1]} "
            "(height x width); draw it on the film's own grid"
        )


@dataclass(frozen=True)
class Region:
    """What is drawn under one label: `paint` gives it as bool on a grid of (height, width).

    `paint` is None for what encloses no area that follows a bone; `kind` says what it is.
    """

    label: str
    paint: Callable[[Shape], Mask] | None
    kind: str = "a region"


@dataclass(frozen=True)
class Drawn:
    """The regions of one film in the order of drawing, and the grid that they were drawn on."""

    regions: tuple[Region, ...]
    size: Shape | None = None  # None where the file does not say


@dataclass(frozen=True)
class Drawing:
    """What a file holds of one film, and how to read it.

    name: what the file calls the film; None where it goes by the name of the file itself.
    uid: of the DICOM instance that it points at, where it does.
    """

    read: Callable[[], Drawn]
    name: str | None = None
    uid: str | None = None


def suffix_of(path: Path) -> str:
    """The suffix of an annotation file, in small letters; "" where it is none of these.

    >>> suffix_of(Path("knee.seg.nrrd")), suffix_of(Path("knee.png"))
    ('.seg.nrrd', '')
    """
    name = path.name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")


def is_annotation(path: Path) -> bool:
    """Whether a file is to be read here, by its name or by the mark of DICOM (PS3.10 7.1)."""
    if suffix_of(path) or path.suffix.lower() in DICOM_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def open_annotations(path: Path) -> tuple[Drawing, ...]:
    """What a file holds, a drawing for each film. Raises MaskError where it cannot be read."""
    try:
        told = path.stat()
        return _open(path, told.st_mtime_ns, told.st_size)
    except OSError as error:
        raise MaskError(f"{path}: cannot be read ({error.strerror}); check the file") from None


def read_annotation(
    path: Path, shape: Shape | None = None, *, film: str | None = None, labels: Sequence[str] = ()
) -> Mask:
    """The mask of one film in a file: bool, H x W.

    film: what the file calls it, where it holds several. Raises MaskError.
    """
    try:
        return _read(path, shape, film, labels)
    except MemoryError:
        raise MaskError(f"{path}: there is not enough memory to read it; is it a mask?") from None


def _read(path: Path, shape: Shape | None, film: str | None, labels: Sequence[str]) -> Mask:
    found = open_annotations(path)
    chosen = [drawing for drawing in found if film is None or film in (drawing.name, drawing.uid)]
    if len(chosen) != 1:
        names = [drawing.name or drawing.uid or "a film" for drawing in found]
        raise MaskError(
            f"{path}: holds {'nothing of ' + film if film else listed(names) or 'no film'}; "
            "say which film is meant"
        )
    return merged(chosen[0].read(), path, shape, labels)


def merged(drawn: Drawn, path: Path, shape: Shape | None, labels: Sequence[str] = ()) -> Mask:
    """The regions of one film as a mask on its grid (`shape`); those of `labels` where given.

    Raises MaskError where the sizes differ, and for what could be read in two ways.
    """
    size = shape or drawn.size
    if size is None:
        raise MaskError(f"{path}: does not say how large its film is; put the film beside it")
    if drawn.size not in (None, size):
        raise MaskSizeError(path, drawn.size or size, size)
    if min(size) < 1:
        raise MaskError(f"{path}: says that its film has no pixels; export it again")
    if size[0] * size[1] > MAX_PIXELS:
        raise MaskError(f"{path}: is drawn on more pixels than a film may have; is it a mask?")
    _refuse_doubt(drawn, path, labels)
    mask = np.zeros(size, bool)
    for region in drawn.regions:
        if labels and region.label not in labels:
            continue
        if region.paint is None:
            raise MaskError(
                f"{path}: holds {region.kind} labelled {region.label}, which does not follow the "
                "outline of a bone; draw a polygon, or choose other labels with --label"
            )
        try:
            painted = region.paint(size)
        except (ValueError, TypeError, OverflowError):  # of numbers that are none, or too large
            raise MaskError(
                f"{path}: {region.kind} labelled {region.label} is damaged; export it again"
            ) from None
        hole = not labels and region.label.casefold() in _HOLES
        mask = mask & ~painted if hole else mask | painted
    return mask


def labels_of(drawn: Drawn) -> list[str]:
    """The labels in a drawing, each once, in alphabetical order."""
    return sorted({region.label for region in drawn.regions})


def load_json(path: Path) -> Any:
    """A JSON document. Raises MaskError where it is none."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise MaskError(f"{path}: is damaged, or no JSON; export it again") from None


def _refuse_doubt(drawn: Drawn, path: Path, labels: Sequence[str]) -> None:
    doubtful = [label for label in labels_of(drawn) if label.casefold() in _DOUBTFUL]
    if doubtful and not labels:
        raise MaskError(
            f"{path}: holds the labels {listed(labels_of(drawn))}, unclear whether {doubtful[0]} "
            "is bone; choose with --label NAME"
        )


@lru_cache(maxsize=16)
def _open(path: Path, changed: int, size: int) -> tuple[Drawing, ...]:
    """As `open_annotations`; a file is read once for all of its films, until it changes."""
    suffix, document = suffix_of(path), None
    if suffix == ".json":
        document = load_json(path)
        names = [name for name in _JSON if _module(name).claims(document)]
        if not names:
            raise UnknownAnnotationError(
                f"{path}: is neither LabelMe, nor COCO, nor Label Studio; export it as one of these"
            )
        name = names[0]
    else:
        name = _MODULES.get(suffix, "dicom_seg")
    try:
        return tuple(_module(name).drawings(path, document))
    except (MaskError, OSError):
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError):
        raise damaged(path, name) from None


def damaged(path: Path, name: str) -> MaskError:
    """The error of a file that is of a known format, and not as this format has it."""
    words = {"label_studio": "Label Studio JSON", "coco": "COCO JSON", "labelme": "LabelMe JSON"}
    kind = words.get(name, name.upper().replace("_", " "))
    return MaskError(f"{path}: is damaged, or no {kind} of the kind that is known; export it again")


def _module(name: str) -> Any:
    return import_module(f"boneseg.annotations.{name}")
