"""Masks in the files of other programs, opened and merged on the grid of their film.

    for drawing in open_annotations(Path("coco.json")):
        drawing.name                                   # "knee.png", as the file calls the film
        merged(drawing.read((1024, 512)), path, (1024, 512))      # bool, H x W

A file holds one film (LabelMe, YOLO, .seg.nrrd, NIfTI) or several (COCO, CVAT, Label Studio), or
refers to the film by its UID (DICOM Segmentation); a folder can hold the mask of each bone of a
film. Each film has labelled regions. All of them are bone, or only those with the requested labels;
a region labelled as a hole is always subtracted from those drawn before it; a label that means
"unknown" is refused.

An error in one film of a file does not affect the others: a film is parsed when it is read. Sizes
in a header are compared with the film before anything is unpacked, and the unpacked pixels of one
film take at most `types.MAX_BYTES`.

The formats are in `formats/`. Their errors give only the reason; file and film are prepended here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from boneseg._util.files import read_bytes, read_json
from boneseg._util.quiet import quiet
from boneseg._util.text import as_compared, listed, one_line
from boneseg.errors import MaskError, RadiographError, UsageError
from boneseg.masks.formats import (
    DICOM_READER,
    FOLDER_READER,
    JSON_READERS,
    JSON_SUFFIX,
    NAMED_FORMAT,
    READERS,
)
from boneseg.masks.types import (
    LARGEST,
    MAX_PAINTED,
    STRAY,
    Drawing,
    Drawn,
    Mask,
    MaskSizeError,
    OtherSizeError,
    Patch,
    Region,
    Shape,
    UnknownAnnotationError,
)
from boneseg.radiograph.film import MAX_PIXELS, check_bytes
from boneseg.radiograph.sniff import DICOM_SUFFIXES, has_dicom_mark

_T = TypeVar("_T")
_HOLES = frozenset(("hole", "background", "_background_"))
_DOUBTFUL = frozenset(
    ("ignore", "__ignore__", "void", "unlabeled", "unlabelled", "unknown", "uncertain", "unsure")
)


def suffix_of(path: Path) -> str:
    """The suffix of an annotation file, in lower case; "" for any other file.

    The longest suffix that a format registers: ".seg.nrrd" rather than ".nrrd". The ending of a
    folder with the mask of each bone counts as one.

    >>> suffix_of(Path("knee.seg.nrrd")), suffix_of(Path("knee.png"))
    ('.seg.nrrd', '')
    """
    if is_bones_folder(path):
        return NAMED_FORMAT.suffix
    name = path.name.lower()
    fitting = (suffix for suffix in (JSON_SUFFIX, *READERS) if name.endswith(suffix))
    return max(fitting, key=len, default="")


def is_bones_folder(path: Path) -> bool:
    """Whether this is a folder with the mask of each bone of a film, by its name."""
    return path.name.lower().endswith(NAMED_FORMAT.suffix) and path.is_dir()


def is_annotation(path: Path) -> bool:
    """Whether a file holds annotations, by its name or the DICM mark (PS3.10 7.1)."""
    if suffix_of(path) or path.suffix.lower() in DICOM_SUFFIXES:
        return True
    try:
        return has_dicom_mark(path)
    except OSError:
        return False


def open_annotations(path: Path) -> tuple[Drawing, ...]:
    """The drawings of a file, one per film. Raises MaskError if it cannot be read."""
    try:
        status = path.stat()
        check_bytes(path, status.st_size)
        return _open(path, status.st_mtime_ns, status.st_size)
    except RadiographError as error:  # of `check_bytes`
        raise MaskError(str(error)) from None
    except OSError as error:
        raise MaskError(f"{path}: cannot be read ({error.strerror}); check the file") from None
    except MemoryError:
        raise _too_large(path) from None


def read_annotation(
    path: Path, shape: Shape | None = None, *, film: str | None = None, labels: Sequence[str] = ()
) -> Mask:
    """The mask of one film in a file: bool, H x W.

    film: its name in a file of several films. Raises MaskError, and UsageError as `refuse_holes`.
    """
    refuse_holes(labels)
    drawing = _chosen(path, film)
    try:
        return merged(drawing.read(shape), called(path, drawing), shape, labels)
    except MemoryError:
        raise _too_large(called(path, drawing)) from None


def read_named(
    path: Path, shape: Shape | None = None, *, film: str | None = None
) -> dict[str, Mask]:
    """The mask of each label of one film in a file, bool H x W, in alphabetical order.

    Labels are in lower case, and those that differ only in that are one. Holes are subtracted and
    have no mask of their own. Raises MaskError.
    """
    drawing = _chosen(path, film)
    where = called(path, drawing)
    try:
        drawn = drawing.read(shape)
        regions = [replace(one, label=label_key(one.label)) for one in drawn.regions]
        drawn = replace(drawn, regions=tuple(regions))
        names = [label for label in labels_of(drawn) if not is_hole(label)]
        return {name: merged(drawn, where, shape, [name]) for name in names}
    except MemoryError:
        raise _too_large(where) from None


def cut_off(path: Path, shape: Shape, *, film: str | None = None) -> float:
    """How far the polygons of a film reach beyond it, in px; 0 if none does. Raises MaskError.

    Reading a mask clips its polygons to the film.
    """
    return _beyond(_chosen(path, film).read(shape), shape)


def _beyond(drawn: Drawn, shape: Shape) -> float:
    corners = [ring for region in drawn.regions for ring in region.rings]
    if not corners:
        return 0.0
    points = np.concatenate(corners)
    return max(0.0, float((-points).max()), float((points - (shape[1], shape[0])).max()))


def _chosen(path: Path, film: str | None) -> Drawing:
    found = open_annotations(path)
    chosen = [drawing for drawing in found if drawing.is_of(film)]
    if len(chosen) != 1:
        names = listed([drawing.name or drawing.uid or "a film" for drawing in found]) or "no film"
        if film:
            count = "several masks" if chosen else "no mask"
            raise MaskError(f"{path}: has {count} for {film}; check the name (it holds {names})")
        raise MaskError(f"{path}: holds {names}; choose one of them")
    return chosen[0]


def called(path: Path, drawing: Drawing) -> str:
    """The name of a drawing in messages: its file and, if that holds several, its film."""
    return str(path) if drawing.name is None else f"{path}: {drawing.name}"


def merged(
    drawn: Drawn, where: Path | str, shape: Shape | None, labels: Sequence[str] = ()
) -> Mask:
    """The regions of one film as a mask on its grid (`shape`); only those of `labels` if given.

    Holes are subtracted with or without `labels`: what is drawn as "not bone" belongs to no bone.

    Raises MaskError, naming `where`, if sizes differ, a region is empty, or labels are ambiguous.
    """
    chosen = set(map(label_key, labels))
    size = shape or drawn.size
    if size is None:
        raise MaskError(f"{where}: does not give the size of its film; put the film beside it")
    if drawn.size not in (None, size):
        raise MaskSizeError(where, drawn.size or size, size)
    if min(size) < 1:
        raise MaskError(f"{where}: gives a film size of 0; export it again")
    if size[0] * size[1] > MAX_PIXELS:
        raise MaskError(f"{where}: has more pixels than a film may have; is it a mask?")
    if drawn.size is None and (beyond := _beyond(drawn, size)) > STRAY * max(size):
        raise MaskError(
            f"{where}: has polygons that reach {beyond:.0f} px beyond the film, and does not give "
            "the size of its film; draw it on the film's own grid"
        )
    _refuse_doubt(drawn, where, labels)
    mask, painted = np.zeros(size, bool), 0
    for region in drawn.regions:
        hole = is_hole(region.label)
        if chosen and not hole and label_key(region.label) not in chosen:
            continue
        patch = _painted(region, where, size)
        painted += max(patch.part.size, patch.visited)
        if painted > MAX_PAINTED:
            raise MaskError(f"{where}: holds too many large regions; save it as an image")
        height, width = patch.part.shape
        here = mask[patch.top : patch.top + height, patch.left : patch.left + width]
        if hole:
            here &= ~patch.part
        else:
            here |= patch.part
    return mask


def _painted(region: Region, where: Path | str, size: Shape) -> Patch:
    named = f"{where}: {region.kind} labelled {region.label}"
    if region.paint is None:
        way_out = "" if is_hole(region.label) else ", or choose other labels with --label"
        raise MaskError(
            f"{where}: holds {region.kind} labelled {region.label}, which does not follow the "
            f"outline of a bone; draw a polygon{way_out}"
        )
    try:
        with quiet():
            return region.paint(size)
    except MaskError as error:
        raise MaskError(f"{named} {error}") from None
    except OtherSizeError as error:
        raise MaskSizeError(where, error.size, size) from None
    except MemoryError:
        raise
    except Exception:  # damaged values can raise any error
        raise MaskError(f"{named} is damaged; export it again") from None


def labels_of(drawn: Drawn) -> list[str]:
    """The labels in a drawing, each once, in alphabetical order."""
    return sorted({region.label for region in drawn.regions})


def label_key(label: str) -> str:
    """A label as it is compared: annotators differ in capitals and blanks, programs in accents."""
    return as_compared(label.strip())


def is_hole(label: str) -> bool:
    """Whether a label means "not bone"."""
    return label_key(label) in _HOLES


def refuse_holes(labels: Sequence[str]) -> None:
    """Refuse to take a hole for bone. Raises UsageError."""
    for label in filter(is_hole, labels):
        raise UsageError(
            f"--label {label}: regions of this label are always subtracted from the bone drawn "
            "before them; name labels of bone only"
        )


def load_json(path: Path) -> object:
    """A JSON document. Raises MaskError if it is not valid."""
    try:
        return read_json(read_bytes(path, LARGEST))
    except ValueError:
        raise MaskError(f"{path}: is damaged, or is not JSON; export it again") from None


def _refuse_doubt(drawn: Drawn, where: Path | str, labels: Sequence[str]) -> None:
    doubtful = [label for label in labels_of(drawn) if label.casefold() in _DOUBTFUL]
    if doubtful and not labels:
        raise MaskError(
            f"{where}: holds the labels {listed(labels_of(drawn))}, unclear whether {doubtful[0]} "
            "is bone; choose with --label NAME"
        )


@lru_cache(maxsize=16)
def _open(path: Path, changed: int, size: int) -> tuple[Drawing, ...]:
    """As `open_annotations`; a file is opened once for all of its films, until it changes."""
    suffix = suffix_of(path)
    if suffix == JSON_SUFFIX:
        name, drawings = _json_reader(path)
    else:
        other = FOLDER_READER if suffix == NAMED_FORMAT.suffix else DICOM_READER
        reader = READERS.get(suffix, other)
        name, drawings = reader.name, partial(reader.drawings, path)
    found = _explained(str(path), name, drawings)
    return tuple(_guarded(path, name, drawing) for drawing in found)


def _json_reader(path: Path) -> tuple[str, Callable[[], list[Drawing]]]:
    """The format name of a JSON document, and the reader of its drawings."""
    document = load_json(path)
    for reader in JSON_READERS:
        if reader.claims(document):
            return reader.name, partial(reader.drawings, document)
    known = ", nor ".join(reader.name for reader in JSON_READERS)
    raise UnknownAnnotationError(f"{path}: is neither {known}; export it as one of these")


def _guarded(path: Path, name: str, drawing: Drawing) -> Drawing:
    """A drawing whose errors name file and film."""
    where, error = called(path, drawing), drawing.error

    def read(shape: Shape | None) -> Drawn:
        return _explained(where, name, partial(drawing.read, shape), shape)

    return replace(drawing, read=read, error=f"{path}: {error}" if error else "")


def _explained(where: str, name: str, read: Callable[[], _T], shape: Shape | None = None) -> _T:
    """The result of `read`; any error becomes a MaskError that begins with `where`."""
    try:
        with quiet():
            return read()
    except OtherSizeError as error:
        raise MaskSizeError(where, error.size, shape or error.size) from None
    except MaskError as error:
        raise type(error)(f"{where}: {one_line(str(error))}") from None
    except MemoryError:
        raise _too_large(where) from None
    except Exception as error:  # a damaged file can raise any error
        if isinstance(error, OSError) and error.strerror:
            reason = f"cannot be read ({error.strerror}); check the file"
        else:
            reason = f"is damaged, or is not {name}; export it again"
        raise MaskError(f"{where}: {reason}") from None


def _too_large(where: Path | str) -> MaskError:
    return MaskError(f"{where}: there is not enough memory to read it; is it a mask?")
