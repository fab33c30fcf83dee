"""Films and masks on disk, and which mask is of which film.

    films, masks = film_files(Path("images")), mask_files(Path("masks"))
    pairs, alone = pair(films, masks)                    # {film: mask}, and masks without a film

A mask is of the film whose name it has; a DICOM Segmentation of the one that it points at.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from boneseg.annotations import (
    DICOM_SUFFIXES,
    UnknownAnnotationError,
    is_annotation,
    labels_of,
    open_annotations,
    suffix_of,
)
from boneseg.annotations.yolo import holds_polygons
from boneseg.errors import DatasetError, MaskError, RadiographError, UsageError
from boneseg.words import listed

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".gif", ".webp"),
    *(".jp2", ".j2k", ".jpx", ".pgm", ".pnm", ".ppm"),
)
MASK_ENDING = re.compile(r"[ _.-](masks?|labels?|seg(mentation)?|gt)$", re.IGNORECASE)
_TASK_ENDING = re.compile(r"^[0-9a-f]{8}-", re.IGNORECASE)  # before names, by Label Studio
FILM_ENDING = re.compile(r"[ _.-](image|img)$", re.IGNORECASE)


@dataclass(frozen=True)
class MaskFile:
    """A mask on disk: a file of its own, or one film of a file that speaks of several.

    name: of the film, as far as the mask tells. film: what the file calls it. uid: of the DICOM
    instance it points at. loose: passed over in silence where no film has its name.
    """

    path: Path
    name: str
    film: str | None = None
    uid: str | None = None
    loose: bool = False


def stem_of(path: Path) -> str:
    """The name without its image suffix: a DICOM file named by its UID keeps all of it."""
    suffix = suffix_of(path)
    if suffix and len(path.name) > len(suffix):
        return path.name[: -len(suffix)]
    known = path.suffix.lower() in IMAGE_SUFFIXES + DICOM_SUFFIXES
    return path.stem if known else path.name


def as_compared(name: str) -> str:
    """A name in small letters, with letters and their accents joined.

    Some disks and archives keep an accent apart from its letter, and keyboards do not.
    """
    return unicodedata.normalize("NFC", name).casefold()


def film_files(folder: Path) -> list[Path]:
    """The films in a folder, by name; hidden files and other kinds are passed over.

    Raises DatasetError where it cannot be read.
    """

    def fits(path: Path) -> bool:
        if path.suffix.lower() in IMAGE_SUFFIXES + DICOM_SUFFIXES:
            return True
        with path.open("rb") as file:  # the mark of DICOM: PS3.10, section 7.1
            return file.read(132)[128:] == b"DICM"

    return _files(folder, fits)


def picture_files(folder: Path) -> list[Path]:
    """The pictures in a folder, by name. Raises DatasetError where it cannot be read."""
    return _files(folder, lambda path: path.suffix.lower() in IMAGE_SUFFIXES)


def _files(folder: Path, fits: Callable[[Path], bool]) -> list[Path]:
    try:
        seen = [path for path in folder.iterdir() if not path.name.startswith(".")]
        return sorted(path for path in seen if path.is_file() and fits(path))
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be read ({error.strerror})") from None


def mask_files(place: Path) -> list[MaskFile]:
    """The masks in a folder, or in one file of annotations, by name.

    Raises DatasetError where it cannot be read.
    """
    if place.is_file():
        found = masks_in(place)
        if any(mask.loose for mask in found):
            raise DatasetError(f"{place}: holds no masks of a known kind; see docs/formats.md")
        return found
    files = _files(place, _may_be_mask)
    texts = [path for path in files if suffix_of(path) == ".txt"]
    if not any(map(holds_polygons, texts)):  # empty ones say "no bone" beside others alone
        files = [path for path in files if path not in texts]
    return [mask for path in files for mask in masks_in(path)]


def masks_in(path: Path) -> list[MaskFile]:
    """The masks that a file holds: one, or one for each film it speaks of. Raises DatasetError."""
    suffix, name = suffix_of(path), stem_of(path)
    if not is_annotation(path) or suffix not in (".json", ".xml", ""):
        return [MaskFile(path, name, loose=suffix == ".txt")]  # a README may lie there, too
    try:
        found = open_annotations(path)
    except UnknownAnnotationError:
        return [MaskFile(path, name, loose=True)]
    except MaskError as error:
        if suffix:
            raise DatasetError(str(error)) from None
        return [MaskFile(path, name)]  # and whoever reads it is told
    return [
        MaskFile(path, name, drawing.uid, drawing.uid)
        if drawing.name is None
        else MaskFile(path, stem_of(_named(drawing.name)), drawing.name)
        for drawing in found
    ]


def _named(name: str) -> Path:
    return Path(PurePosixPath(name.replace("\\", "/")).name)


def _may_be_mask(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES or is_annotation(path)


def check_labels(labels: Sequence[str], masks: Sequence[MaskFile]) -> None:
    """Refuse labels that nobody has drawn: their masks would all be empty. Raises UsageError."""
    found: set[str] = set()
    for mask in masks:
        if not is_annotation(mask.path):
            raise UsageError(f"--label: {mask.path} is a picture, which names no labels")
        with suppress(MaskError):  # told when it is read
            for drawing in open_annotations(mask.path):
                if mask.film in (None, drawing.name, drawing.uid):
                    found.update(labels_of(drawing.read()))
    unknown = [label for label in labels if label not in found]
    if unknown:
        raise UsageError(
            f"--label {unknown[0]}: is in no mask; there are {listed(sorted(found)) or 'none'}"
        )


def pair(
    films: Sequence[Path], masks: Sequence[MaskFile]
) -> tuple[dict[Path, MaskFile], list[Path]]:
    """The mask of each film that has one, and the masks that have no film.

    Raises DatasetError where two films have one name, or two masks fit one film.
    """
    by_name: dict[str, Path] = {}
    aliases: dict[str, list[Path]] = defaultdict(list)
    for film in films:
        other = by_name.setdefault(as_compared(stem_of(film)), film)
        if other is not film:
            raise DatasetError(f"{film}: has the same name as {other.name}; rename one of the two")
        aliases[as_compared(FILM_ENDING.sub("", stem_of(film)))].append(film)
    uids = _uids(films) if any(mask.uid for mask in masks) else {}
    pairs: dict[Path, MaskFile] = {}
    alone = []
    for mask in masks:
        names = _names(mask)
        pointed = uids.get(mask.uid or "")
        found = [pointed] if pointed else [by_name[name] for name in names if name in by_name]
        found = found or next((aliases[name] for name in names if name in aliases), [])
        if not found:
            if not mask.loose:
                alone.append(mask.path if mask.film is None else mask.path / mask.film)
            continue
        film = found[0]
        if len(found) > 1 and names[0] not in by_name:
            raise DatasetError(f"{mask.path}: fits {listed([f.name for f in found])}; rename one")
        if mask.uid and pointed is None and film in uids.values():
            raise DatasetError(f"{mask.path}: points at another film than {film}; rename it")
        first = pairs.setdefault(film, mask)
        if first is not mask:
            both = f"{first.path.name} and {mask.path.name}"
            raise DatasetError(f"{film}: {both} both fit it; keep one mask")
    return pairs, alone


def _names(mask: MaskFile) -> list[str]:
    """What the film of a mask may be called, the likeliest first, as names are compared."""
    names = [mask.name, MASK_ENDING.sub("", mask.name)]
    if mask.film is not None:
        names.append(_TASK_ENDING.sub("", mask.name))
    return [as_compared(name) for name in names]


def _uids(films: Sequence[Path]) -> dict[str, Path]:
    """The SOP Instance UID of each DICOM film."""
    from boneseg.writers.dicom_seg import read_source

    found = {}
    for film in films:
        with suppress(RadiographError):
            found[str(read_source(film).get("SOPInstanceUID"))] = film
    return found
