"""Open a folder of radiographs and masks: pairs by name, and tables of patients and body parts.

    dataset = open_dataset(Path("data"))                  # images/ + masks/, groups.csv, parts.csv

`groups.csv` (name, group) lists the patient of each film, `parts.csv` (name, body part) its body
part. `dataset/splits.py` keeps the films of a group together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from boneseg._util.drawing.html import figure, frame, table
from boneseg._util.files import LAYOUTS, real_path
from boneseg._util.text import counted, listed
from boneseg.dataset.case import Case, without_name
from boneseg.dataset.pairing import (
    MASK_ENDING,
    MaskFile,
    Pairing,
    check_labels,
    film_files,
    mask_files,
    masks_in,
    pair,
    picture_files,
)
from boneseg.dataset.tables import Tables, read_tables
from boneseg.errors import BonesegError, DatasetError, UsageError
from boneseg.masks.annotations import is_annotation, suffix_of
from boneseg.masks.filenames import stem_of
from boneseg.radiograph.privacy import public_name
from boneseg.radiograph.read import read_radiograph

SHOWN, SMALL = 4, 256  # films shown in a notebook, and their longest side in px


@dataclass(frozen=True)
class Dataset:
    """The cases in order of name, the unpaired files, and remarks on the tables.

    faults: one line for each file or film omitted because of an error. unclear: films with an
    ambiguous name or mask; the reason is among the faults. table_faults: why groups.csv or
    parts.csv cannot be used; only in the result of `survey_dataset`.
    """

    root: Path  # the folder
    cases: tuple[Case, ...]  # films with their masks
    unpaired_images: tuple[Path, ...]  # films without a mask
    unpaired_masks: tuple[Path, ...]  # masks without a film
    remarks: tuple[str, ...] = ()  # on rows of tables without film, and on values
    faults: tuple[str, ...] = ()
    unclear: tuple[Path, ...] = ()
    gaps: tuple[str, ...] = ()  # on films that parts.csv omits
    table_faults: tuple[str, ...] = ()

    @property
    def films(self) -> int:
        """The number of films, with a mask or without."""
        return len(self.cases) + len(self.unpaired_images) + len(self.unclear)

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
    named: bool = False,
) -> Dataset:
    """Pair the films and masks of a folder by name, without reading pixels.

    The mask of `knee.dcm` is `knee.png` or `knee_mask.png` (or _label, _seg, _gt; in any case;
    also after a space, "-" or "."), in any image format. A film `knee_image.png` also matches
    `knee`, unless another film does. One folder may contain both, if every mask has such a suffix
    or is an annotation file.

    Masks are also read from files of annotation tools (see docs/reference/formats.md), in the masks
    folder or instead of it; `labels` selects the bone labels there. A DICOM Segmentation belongs
    to the film that it references.

    Cases whose DICOM file name identifies the patient are named by a hash (see
    `radiograph/privacy.py`), unless `keep_names`.

    named: use only masks with labels: files of annotations and folders with the mask of each bone.

    Films of the same name, multiple masks of one film, and unreadable annotation files are omitted
    and listed in `faults`.

    Raises UsageError if a folder is missing or not a folder, or if no mask has a label, and
    DatasetError if a folder is empty or lacks images/ or masks/, if faults leave no film with a
    mask, if a table cannot be used, or if `groups.csv` omits a film, which could then leak between
    folds.
    """
    dataset = survey_dataset(
        data, images=images, masks=masks, labels=labels, keep_names=keep_names, named=named
    )
    if dataset.faults and not dataset.cases:
        more = f" (and {counted(len(dataset.faults) - 1, 'other fault')}; see boneseg check)"
        raise DatasetError(dataset.faults[0] + (more if len(dataset.faults) > 1 else ""))
    if dataset.table_faults:
        raise DatasetError(dataset.table_faults[0])
    return dataset


def survey_dataset(
    data: Path | str | None,
    *,
    images: Path | str | None = None,
    masks: Path | str | None = None,
    labels: Sequence[str] = (),
    keep_names: bool = False,
    named: bool = False,
) -> Dataset:
    """Pair films and masks as `open_dataset`, and list all faults instead of raising the first.

    For `check_dataset`. Raises UsageError as `open_dataset`, and DatasetError only if a folder is
    empty or lacks images/ or masks/.
    """
    data, images, masks = (
        Path(place) if place is not None else None for place in (data, images, masks)
    )
    films_folder, masks_folder = _folders(data, images, masks)
    root = data if data is not None else films_folder.parent
    files = film_files(films_folder)
    names = {film: film.name if keep_names else public_name(film) for film in files}
    try:
        films, found = _paired(films_folder, files, masks_folder, named)
        hides_names = any(name != film.name for film, name in names.items())
        tables = read_tables(root, films, found.pairs, hides_names=hides_names)
        if labels and found.pairs:
            check_labels(labels, list(found.pairs.values()))
    except (DatasetError, UsageError) as error:
        raise type(error)(_all_hidden(str(error), names)) from None
    return Dataset(
        root,
        _cases(found.pairs, names, tables, tuple(labels)),
        tuple(film for film in films if film not in found.pairs and film not in found.unclear),
        tuple(found.alone),
        tuple(_all_hidden(remark, names) for remark in tables.remarks),
        tuple(_all_hidden(fault, names) for fault in found.faults),
        tuple(found.unclear),
        tuple(_all_hidden(gap, names) for gap in tables.gaps),
        tuple(_all_hidden(fault, names) for fault in tables.faults),
    )


def _paired(
    films_folder: Path, films: list[Path], masks_folder: Path, named: bool
) -> tuple[list[Path], Pairing]:
    """The films, without masks that lie among them, and the mask of each.

    Raises DatasetError if there is no film or no mask.
    """
    masks = mask_files(masks_folder, named=named)
    if real_path(films_folder) == real_path(masks_folder):
        masks = [mask for mask in masks if _is_mask_beside_films(mask)]
        taken = {mask.path for mask in masks}
        films = [path for path in films if path not in taken]
    if not films:
        raise DatasetError(f"{films_folder}: holds no film; put the radiographs there")
    if not masks and named:
        raise DatasetError(
            f"{masks_folder}: holds no masks of named bones; for a film {films[0].name} put them "
            f"into {stem_of(films[0])}_bones there, such as femur.png, or into a file with labels"
        )
    if not masks:
        raise DatasetError(f"{masks_folder}: holds no mask; put one there for each film")
    return films, pair(films, masks)


def _cases(
    pairs: Mapping[Path, MaskFile],
    names: Mapping[Path, str],
    tables: Tables,
    labels: tuple[str, ...],
) -> tuple[Case, ...]:
    """The cases in order of name."""
    cases = [
        Case(
            name=stem_of(Path(names[film])),
            image=film,
            mask=mask.path,
            group=tables.groups.get(stem_of(film)),
            part=tables.parts.get(stem_of(film)),
            film=mask.film,
            labels=labels,
        )
        for film, mask in pairs.items()
    ]
    return tuple(sorted(cases, key=lambda case: case.name))


def _is_mask_beside_films(one: MaskFile) -> bool:
    """Whether a file among films is a mask: annotations, or an image with a mask suffix."""
    return bool(suffix_of(one.path) or one.uid or MASK_ENDING.search(one.name))


def _all_hidden(text: str, names: Mapping[Path, str]) -> str:
    """The text without names of films that identify the patient."""
    for film, name in names.items():
        if name != film.name:
            text = without_name(text, film, stem_of(Path(name)))
    return text


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
