"""Open a folder of radiographs and masks: pairs by name, and tables of patients and body parts.

    dataset = open_dataset(Path("data"))                  # images/ + masks/, groups.csv, parts.csv

`groups.csv` (name, group) lists the patient of each film, `parts.csv` (name, body part) its body
part. `dataset/splits.py` keeps the films of a group together.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from boneseg._util.files import LAYOUTS, read_bytes, real_path
from boneseg._util.text import counted, listed
from boneseg.dataset.pairing import (
    FILM_ENDING,
    MASK_ENDING,
    MaskFile,
    as_compared,
    check_labels,
    film_files,
    mask_files,
    masks_in,
    pair,
    picture_files,
)
from boneseg.drawing.html import figure, frame, table
from boneseg.errors import BonesegError, DatasetError, MaskError, UsageError
from boneseg.masks.annotations import is_annotation, suffix_of
from boneseg.masks.filenames import stem_of
from boneseg.radiograph.privacy import public_name
from boneseg.radiograph.read import read_radiograph

SHOWN, SMALL = 4, 256  # films shown in a notebook, and their longest side in px
_HEADER = frozenset(("name", "names", "file", "filename", "film", "image", "case", "id", "stem"))


@dataclass(frozen=True)
class Case:
    """A film and its mask. `group` is the patient, `part` the body part, if known.

    name: of the film, or a hash if the name identifies the patient.
    film: the film's name in a mask file that covers several films.
    labels: the labels that are bone; all if empty.
    """

    name: str
    image: Path
    mask: Path
    group: str | None = None
    part: str | None = None
    film: str | None = None
    labels: tuple[str, ...] = ()

    @property
    def mask_name(self) -> str:
        """The name of the mask in messages."""
        return self.hide(str(self.mask) if self.film is None else f"{self.mask}: {self.film}")

    @property
    def image_name(self) -> str:
        """The name of the film in messages."""
        return self.hide(str(self.image))

    def read_mask(self, shape: tuple[int, int] | None = None) -> NDArray[np.bool_]:
        """The mask, bool H x W; see `masks.read_mask`. Raises MaskError."""
        from boneseg.masks.read import read_mask

        try:
            return read_mask(self.mask, shape, film=self.film, labels=self.labels)
        except MaskError as error:
            error.args = (self.hide(str(error)),)
            raise

    def cut_off(self, shape: tuple[int, int]) -> float:
        """How far polygons reach beyond the film, in px; that part is clipped. Raises MaskError."""
        from boneseg.masks.annotations import cut_off

        has_polygons = suffix_of(self.mask) in (".json", ".xml", ".txt")
        return cut_off(self.mask, shape, film=self.film) if has_polygons else 0.0

    def hide(self, words: str) -> str:
        """Text about the film or its mask, without names that identify the patient."""
        return words if self.name == stem_of(self.image) else _hidden(words, self.image, self.name)


@dataclass(frozen=True)
class Dataset:
    """The cases in order of name, the unpaired files, and remarks on the tables.

    faults: one line for each file or film omitted because of an error.
    """

    root: Path
    cases: tuple[Case, ...]
    unpaired_images: tuple[Path, ...]
    unpaired_masks: tuple[Path, ...]
    remarks: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Dataset({self.root}: {counted(len(self.cases), 'film')} with a mask)"

    def _repr_html_(self) -> str:
        parts = Counter(case.part for case in self.cases if case.part is not None)
        rows = [(escape(part), str(count)) for part, count in sorted(parts.items())]
        rows.append(("all with a mask", str(len(self.cases))))
        step = max(1, len(self.cases) // SHOWN)
        figures = "".join(_case_figure(case) for case in self.cases[::step][:SHOWN])
        name = f"<p>{escape(self.root.absolute().name)}</p>"
        return frame(name + table(("", "films"), rows) + figures)


def _case_figure(case: Case) -> str:
    """A film with its mask for a notebook, or the reason if unreadable."""
    try:
        pixels = read_radiograph(case.image).pixels
        mask = case.read_mask((pixels.shape[0], pixels.shape[1]))
    except BonesegError as error:
        return f"<p>{escape(str(error))}</p>"
    return figure(pixels, escape(case.name), mask, side=SMALL)


def open_dataset(
    data: Path | str | None,
    *,
    images: Path | str | None = None,
    masks: Path | str | None = None,
    labels: Sequence[str] = (),
    keep_names: bool = False,
) -> Dataset:
    """Pair the films and masks of a folder by name, without reading pixels.

    The mask of `knee.dcm` is `knee.png` or `knee_mask.png` (or _label, _seg, _gt; in any case;
    also after a space, "-" or "."), in any image format. A film `knee_image.png` also matches
    `knee`, unless another film does. One folder may contain both, if every mask has such a suffix
    or is an annotation file.

    Masks are also read from files of annotation tools (see docs/formats.md), in the masks
    folder or instead of it; `labels` selects the bone labels there. A DICOM Segmentation belongs
    to the film that it references.

    Cases whose DICOM file name identifies the patient are named by a hash (see
    `radiograph/privacy.py`), unless `keep_names`.

    Films of the same name, multiple masks of one film, and unreadable annotation files are omitted
    and listed in `faults`.

    Raises UsageError if a folder is missing or not a folder, or if no mask has a label, and
    DatasetError if a folder is empty or lacks images/ or masks/, if faults leave no film with a
    mask, or if `groups.csv` omits a film, which could then leak between folds.
    """
    data, images, masks = (
        Path(place) if place is not None else None for place in (data, images, masks)
    )
    films_folder, masks_folder = _folders(data, images, masks)
    films = film_files(films_folder)
    called = {film: film.name if keep_names else public_name(film) for film in films}
    root = data if data is not None else films_folder.parent
    remarks: list[str] = []
    try:
        drawn = mask_files(masks_folder)
        if real_path(films_folder) == real_path(masks_folder):
            drawn = [one for one in drawn if _is_mask_beside_films(one)]
            taken = {one.path for one in drawn}
            films = [path for path in films if path not in taken]
        if not films:
            raise DatasetError(f"{films_folder}: holds no film; put the radiographs there")
        if not drawn:
            raise DatasetError(f"{masks_folder}: holds no mask; put one there for each film")
        found = pair(films, drawn)
        pairs = found.pairs
        if found.faults and not pairs:
            more = f" (and {counted(len(found.faults) - 1, 'other fault')})"
            raise DatasetError(found.faults[0] + (more if len(found.faults) > 1 else ""))
        groups = _table(root / "groups.csv", films, pairs, remarks, complete=True)
        parts = _table(root / "parts.csv", films, pairs, remarks, complete=False)
        if labels:
            check_labels(labels, list(pairs.values()))
    except (DatasetError, UsageError) as error:
        raise type(error)(_all_hidden(str(error), called)) from None
    cases = [
        Case(
            stem_of(Path(called[film])),
            film,
            mask.path,
            groups.get(stem_of(film)),
            parts.get(stem_of(film)),
            mask.film,
            tuple(labels),
        )
        for film, mask in pairs.items()
    ]
    return Dataset(
        root,
        tuple(sorted(cases, key=lambda case: case.name)),
        tuple(film for film in films if film not in pairs and film not in found.unclear),
        tuple(found.alone),
        tuple(_all_hidden(remark, called) for remark in remarks),
        tuple(_all_hidden(fault, called) for fault in found.faults),
    )


def _is_mask_beside_films(one: MaskFile) -> bool:
    """Whether a file among films is a mask: annotations, or an image with a mask suffix."""
    return bool(suffix_of(one.path) or one.uid or MASK_ENDING.search(one.name))


def _hidden(words: str, film: Path, name: str) -> str:
    """The text with the name of a film, and of a mask named like it, replaced."""
    base = FILM_ENDING.sub("", stem_of(film))
    return re.sub(re.escape(base), lambda _: name, words, flags=re.IGNORECASE)


def _all_hidden(words: str, called: Mapping[Path, str]) -> str:
    for film, name in called.items():
        if name != film.name:
            words = _hidden(words, film, stem_of(Path(name)))
    return words


def films_and_masks(images: Path, masks: Path) -> tuple[dict[Path, Path | None], dict[Path, str]]:
    """Each film of a folder with its mask image or None, paired as in `open_dataset`.

    Films with an ambiguous name or mask have None, and are in the second mapping with the reason.
    Raises DatasetError if a folder cannot be read.
    """
    films, pictures = film_files(images), picture_files(masks)
    found = pair(films, [MaskFile(path, stem_of(path)) for path in pictures])
    pairs = {film: found.pairs[film].path if film in found.pairs else None for film in films}
    return pairs, {film: _reason(film, found.faults) for film in found.unclear}


def _reason(film: Path, faults: Sequence[str]) -> str:
    """The fault of a film, without its folder."""
    line = next((line for line in faults if film.name in line), "its name or mask is ambiguous")
    return line.replace(f"{film.parent}/", "").replace(f"{film.parent}\\", "")


def _folders(data: Path | None, images: Path | None, masks: Path | None) -> tuple[Path, Path]:
    for folder in (data, images, masks):
        if folder is None or folder.is_dir():
            continue
        if folder is not masks or not folder.is_file():
            raise UsageError(f"{folder}: is not a folder; check the name")
        if not is_annotation(folder):
            raise DatasetError(f"{folder}: is a file without annotations; give the folder of masks")
    if images is not None and masks is not None:
        return images, masks
    if data is None:
        raise UsageError("give a data folder, or both an images folder and a masks folder")
    for first, second in LAYOUTS:
        folders = images or data / first, masks or data / second
        if folders[0].is_dir() and (folders[1].is_dir() or masks is not None):
            return folders
    if masks is None and (document := _document(data)) is not None:
        return images or data / LAYOUTS[0][0], document
    found = [f"{name}/" for pair in LAYOUTS for name in pair if (data / name).is_dir()]
    raise DatasetError(
        f"{data}: holds {'only ' + listed(found) if found else 'neither films nor masks'}; "
        "a data folder has images/ and masks/, or all_images/ and labels/"
    )


def _document(data: Path) -> Path | None:
    """The single annotation file beside images/, as annotation tools export it, or None."""
    if not (data / LAYOUTS[0][0]).is_dir():
        return None
    found = []
    for path in sorted(data.iterdir()):
        if suffix_of(path) in (".json", ".xml") and path.is_file():
            found += [path] if not any(mask.loose for mask in masks_in(path)) else []
    return found[0] if len(found) == 1 else None


def _table(
    path: Path,
    films: Iterable[Path],
    paired: Iterable[Path],
    remarks: list[str],
    complete: bool,
) -> dict[str, str]:
    """The second column of a table by film name, which is the first column."""
    if not path.is_file():
        return {}
    names = {
        as_compared(key): stem_of(film) for film in films for key in (film.name, stem_of(film))
    }
    values: dict[str, str] = {}
    unknown = []
    for number, row in enumerate(_rows(path)):
        key = as_compared(PurePosixPath(row[0].replace("\\", "/")).name)
        name = names.get(key) or names.get(stem_of(Path(key)))
        if len(row) < 2 or not row[1]:
            raise DatasetError(f"{path}: has no value for {row[0][:40]!r}; two columns are needed")
        if name is None:
            unknown += [row[0]] if number > 0 or key not in _HEADER else []
        elif values.setdefault(name, row[1]) != row[1]:
            raise DatasetError(f"{path}: lists {row[0]} twice, as {values[name]} and {row[1]}")
    if unknown:
        remarks.append(f"{path}: lists {listed(unknown)}, without a film of that name")
    left_out = [stem_of(film) for film in paired if stem_of(film) not in values]
    if left_out:
        remarks.append(f"{path}: omits {listed(left_out)}; add a row for each film")
        if complete:  # films of one patient could be on both sides of a split
            raise DatasetError(remarks[-1])
    return values


def _rows(path: Path) -> list[list[str]]:
    try:
        lines = read_bytes(path).decode("utf-8-sig").splitlines()
        mark = next((mark for mark in ",;\t" if lines and mark in lines[0]), ",")
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=mark)]
    except (OSError, UnicodeDecodeError, csv.Error):
        raise DatasetError(f"{path}: cannot be read; save it as CSV in UTF-8") from None
    return [row for row in rows if any(row)]
