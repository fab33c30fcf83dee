"""Find films and masks on disk, and match them.

    films, masks = film_files(Path("images")), mask_files(Path("masks"))
    found = pair(films, masks)
    found.pairs, found.alone, found.faults    # {film: mask}, masks without a film, errors

A mask belongs to the film of the same name, a DICOM Segmentation to the film that it references. An
error in one film or file affects no other: it is listed in `faults` with the reason.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from boneseg._util.text import as_compared, listed
from boneseg.errors import DatasetError, MaskError, RadiographError, UsageError
from boneseg.masks.annotations import (
    is_annotation,
    is_bones_folder,
    is_hole,
    label_key,
    labels_of,
    open_annotations,
    refuse_holes,
    suffix_of,
)
from boneseg.masks.filenames import IMAGE_SUFFIXES, stem_of
from boneseg.masks.formats.yolo import holds_numbers
from boneseg.masks.types import Drawing, UnknownAnnotationError
from boneseg.radiograph.provenance import is_result, listed_results
from boneseg.radiograph.sniff import DICOM_SUFFIXES

MASK_ENDING = re.compile(r"[ _.-](masks?|labels?|seg(mentation)?|gt)$", re.IGNORECASE)
_TASK_ENDING = re.compile(r"^[0-9a-f]{8}-", re.IGNORECASE)  # prefix of names, from Label Studio
FILM_ENDING = re.compile(r"[ _.-](image|img)$", re.IGNORECASE)


@dataclass(frozen=True)
class MaskFile:
    """A mask on disk: a file of its own, or one film in a file for several.

    name: of the film, as given by the mask. film: its name within the file. uid: of the
    referenced DICOM instance. loose: ignored if no film has its name. error: why the file, or
    this part of it, cannot be read; it may still match a film by name.
    """

    path: Path
    name: str
    film: str | None = None
    uid: str | None = None
    loose: bool = False
    error: str = ""


@dataclass
class Pairing:
    """The mask of each film that has one, the masks without a film, and errors.

    unclear: films with an ambiguous name or mask. faults: one line for each file or film omitted
    because of an error.
    """

    pairs: dict[Path, MaskFile] = field(default_factory=dict)
    alone: list[Path] = field(default_factory=list)
    unclear: list[Path] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def film_files(folder: Path) -> list[Path]:
    """The films in a folder, by name, without hidden files, other file types and results.

    Results are files written by boneseg: see `radiograph/provenance.py`.

    Raises DatasetError if the folder cannot be read.
    """

    results = listed_results(folder)

    def fits(path: Path) -> bool:
        with suppress(OSError):  # an unreadable film is reported later
            if is_result(path, results):
                return False
        if path.suffix.lower() in IMAGE_SUFFIXES + DICOM_SUFFIXES:
            return True
        with path.open("rb") as file:  # the mark of DICOM: PS3.10, section 7.1
            return file.read(132)[128:] == b"DICM"

    return _files(folder, fits)


def picture_files(folder: Path) -> list[Path]:
    """The images in a folder, by name. Raises DatasetError if it cannot be read."""
    return _files(folder, lambda path: path.suffix.lower() in IMAGE_SUFFIXES)


def _files(
    folder: Path, fits: Callable[[Path], bool], kind: Callable[[Path], bool] = Path.is_file
) -> list[Path]:
    try:
        seen = [path for path in folder.iterdir() if not path.name.startswith(".")]
        return sorted(path for path in seen if kind(path) and fits(path))
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be read ({error.strerror})") from None


def mask_files(place: Path, *, named: bool = False) -> list[MaskFile]:
    """The masks in a folder, or in one annotation file, by name.

    named: only those with labels, and folders with the mask of each bone. A file of a film goes
    before its folder.

    Raises DatasetError if the folder cannot be read, or the file has no masks.
    """
    if place.is_file():
        found = masks_in(place)
        if any(mask.loose for mask in found):
            raise DatasetError(f"{place}: holds no masks of a known kind; see the documentation")
        return found
    files = _files(place, is_annotation if named else may_be_mask)
    folders = _files(place, is_bones_folder, Path.is_dir) if named else []
    texts = [path for path in files if suffix_of(path) == ".txt"]
    if not any(map(holds_numbers, texts)):  # empty ones mean "no bone" only beside others
        files = [path for path in files if path not in texts]
    found = [mask for path in files for mask in masks_in(path)]
    known = {as_compared(mask.name) for mask in found}
    alone = [path for path in folders if as_compared(stem_of(path)) not in known]
    return found + [MaskFile(path, stem_of(path)) for path in alone]


def masks_in(path: Path) -> list[MaskFile]:
    """The masks in a file: one, or one for each of its films."""
    suffix, name = suffix_of(path), stem_of(path)
    if not is_annotation(path) or suffix not in (".json", ".xml", ""):
        return [MaskFile(path, name, loose=suffix == ".txt")]  # it may be a README
    try:
        found = open_annotations(path)
    except UnknownAnnotationError as error:
        return [MaskFile(path, name, loose=True, error=str(error))]
    except MaskError as error:
        return [MaskFile(path, name, error=str(error))]
    return [_mask_file(path, name, drawing) for drawing in found]


def _mask_file(path: Path, name: str, drawing: Drawing) -> MaskFile:
    if drawing.error:
        return MaskFile(path, "", error=drawing.error)
    if drawing.name is None:
        return MaskFile(path, name, drawing.uid, drawing.uid)
    return MaskFile(path, stem_of(_named(drawing.name)), drawing.name)


def _named(name: str) -> Path:
    return Path(PurePosixPath(name.replace("\\", "/")).name)


def may_be_mask(path: Path) -> bool:
    """Whether a file is an image or holds annotations, by its name or the DICM mark."""
    return path.suffix.lower() in IMAGE_SUFFIXES or is_annotation(path)


def check_labels(labels: Sequence[str], masks: Sequence[MaskFile]) -> None:
    """Reject labels that mean a hole, or occur in no mask. Raises UsageError."""
    refuse_holes(labels)
    found: set[str] = set()
    unread = False
    for mask in masks:
        if not is_annotation(mask.path):
            raise UsageError(f"--label: {mask.path} is an image and has no labels")
        try:
            for drawing in open_annotations(mask.path):
                if drawing.is_of(mask.film):
                    found.update(labels_of(drawing.read(None)))
        except MaskError:  # reported when the mask is read; it may hold any label
            unread = True
    known = set(map(label_key, found))
    unknown = [label for label in labels if label_key(label) not in known]
    if unknown and (found or not unread):
        bone = sorted(label for label in found if not is_hole(label))
        raise UsageError(
            f"--label {unknown[0]}: is in no mask; available: {listed(bone) or 'none'}"
        )


def pair(films: Sequence[Path], masks: Sequence[MaskFile]) -> Pairing:
    """Find the mask of each film.

    Films of the same name, masks that match several films, several masks of one film, and
    unreadable masks that match no film are faults.
    """
    found = Pairing()
    by_name = _by_name(films, found)
    aliases: dict[str, list[Path]] = defaultdict(list)
    for name, film in by_name.items():
        aliases[as_compared(FILM_ENDING.sub("", name))].append(film)
    uids = _uids(films) if any(mask.uid for mask in masks) else {}
    doubled = {as_compared(stem_of(film)) for film in found.unclear}
    several: dict[Path, list[MaskFile]] = defaultdict(list)
    for mask in masks:
        names = _names(mask)
        pointed = uids.get(mask.uid or "")
        fitting = [pointed] if pointed else [by_name[name] for name in names if name in by_name]
        fitting = fitting or next((aliases[name] for name in names if name in aliases), [])
        if not fitting:
            if mask.loose or doubled & set(names):  # their films are already among the faults
                continue
            if mask.error:
                found.faults.append(mask.error)
            else:
                found.alone.append(mask.path if mask.film is None else mask.path / mask.film)
            continue
        film = fitting[0]
        if len(fitting) > 1 and names[0] not in by_name:
            fits = listed([film.name for film in fitting])
            found.faults.append(f"{mask.path}: matches {fits}; rename one")
        elif mask.uid and pointed is None and film in uids.values():
            found.faults.append(f"{mask.path}: refers to a film other than {film}; rename it")
        else:
            several[film].append(mask)
    for film, own in several.items():
        if len(own) == 1:
            found.pairs[film] = own[0]
        else:
            found.unclear.append(film)
            both = " and ".join(mask.path.name for mask in own[:2])
            found.faults.append(f"{film}: {both} both match it; keep one mask")
    if not (found.pairs or found.alone or found.faults):  # else files of other types are ignored
        found.faults += [mask.error for mask in masks if mask.error][:1]
    return found


def _by_name(films: Sequence[Path], found: Pairing) -> dict[str, Path]:
    """Films by name, as compared; those with the same name are unclear and omitted."""
    alike: dict[str, list[Path]] = defaultdict(list)
    for film in films:
        alike[as_compared(stem_of(film))].append(film)
    for first, *others in alike.values():
        if others:
            reason = f"has the same name as {first.name}; rename one of the two"
            found.faults.append(f"{others[0]}: {reason}")
            found.unclear += [first, *others]
    return {name: own[0] for name, own in alike.items() if len(own) == 1}


def _names(mask: MaskFile) -> list[str]:
    """Possible names of the film of a mask, as compared, the most likely first."""
    names = [mask.name, MASK_ENDING.sub("", mask.name)]
    if mask.film is not None:
        names.append(_TASK_ENDING.sub("", mask.name))
    return [as_compared(name) for name in names]


def _uids(films: Sequence[Path]) -> dict[str, Path]:
    """The SOP Instance UID of each DICOM film."""
    from boneseg.masks.formats.dicom_seg.source import read_source
    from boneseg.radiograph.dicom.header import text_of

    found = {}
    for film in films:
        with suppress(RadiographError):
            found[text_of(read_source(film), "SOPInstanceUID")] = film
    found.pop("", None)  # of films without a UID
    return found
