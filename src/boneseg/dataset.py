"""A folder of radiographs and masks: pairs by name, and splits that leak nothing.

    dataset = open_dataset(Path("data"))                  # images/ + masks/, groups.csv, parts.csv
    clusters = twins(dataset.cases, films)
    folds = split_folds(dataset.cases, clusters, k=5, seed=0)
    train, validation = hold_out(dataset.cases, clusters, fraction=0.2, seed=0)

`groups.csv` (name, group) says which films are of one patient; `parts.csv` (name, body part) what
they show. Films of one group, and films that are twins, never stand on both sides of a split.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from boneseg.annotations import is_annotation, suffix_of
from boneseg.errors import DatasetError, MaskError, UsageError
from boneseg.pairing import (
    FILM_ENDING,
    MASK_ENDING,
    MaskFile,
    check_labels,
    film_files,
    mask_files,
    masks_in,
    pair,
    picture_files,
    stem_of,
)
from boneseg.patients import public_name
from boneseg.words import counted, listed

LAYOUTS = (("images", "masks"), ("all_images", "labels"))
_GRID = 128
_COARSE, _TWINS, _SHIFT = 0.9, 0.88, 3
_BLOCK = 128  # views compared at once
_HEADER = frozenset(("name", "names", "file", "filename", "film", "image", "case", "id", "stem"))


@dataclass(frozen=True)
class Case:
    """A film and its mask. `group` is the patient, `part` the body part, where they are known.

    name: of the film, or a hash where that gives its patient away.
    film: what the mask's file calls the film, where it holds the masks of several.
    labels: what is bone in there; all that is drawn where there are none.
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
        """What messages call the mask."""
        return self._hide(str(self.mask) if self.film is None else f"{self.mask}: {self.film}")

    @property
    def image_name(self) -> str:
        """What messages call the film."""
        return self._hide(str(self.image))

    def read_mask(self, shape: tuple[int, int] | None = None) -> NDArray[np.bool_]:
        """The mask, bool H x W; see `masks.read_mask`. Raises MaskError."""
        from boneseg.masks import read_mask

        try:
            return read_mask(self.mask, shape, film=self.film, labels=self.labels)
        except MaskError as error:
            error.args = (self._hide(str(error)),)
            raise

    def _hide(self, words: str) -> str:
        """Words about the film or its mask, without a name that gives the patient away."""
        return words if self.name == stem_of(self.image) else _hidden(words, self.image, self.name)


@dataclass(frozen=True)
class Dataset:
    """The cases in the order of their names; what has no partner; and remarks on the tables."""

    root: Path
    cases: tuple[Case, ...]
    unpaired_images: tuple[Path, ...]
    unpaired_masks: tuple[Path, ...]
    remarks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Dataset({self.root}: {counted(len(self.cases), 'film')} with a mask)"

    def _repr_html_(self) -> str:
        from boneseg.report.notebook import dataset_html

        return dataset_html(self)


def open_dataset(
    data: Path | str | None,
    *,
    images: Path | None = None,
    masks: Path | None = None,
    labels: Sequence[str] = (),
    keep_names: bool = False,
) -> Dataset:
    """Pair the films and masks of a folder by name. No pixel is read.

    The mask of `knee.dcm` is `knee.png` or `knee_mask.png` (or _label, _seg, _gt; upper or lower
    case; after a space, "-" or "." too), in any image format. A film `knee_image.png` also answers
    to `knee`, if no other film does. One folder may hold both, if every mask has such an ending or
    is a file of annotations.

    Masks are also read from the files of annotation tools (see `annotations/`), in the folder of
    masks or in place of it; `labels` chooses what is bone there. A DICOM Segmentation belongs to
    the film that it points at.

    Cases whose DICOM film is named after its patient are called by a hash (see `patients.py`),
    unless `keep_names`.

    Raises UsageError where no folder is given or no mask has a label, and DatasetError where a
    folder is missing or empty, where two films have one name or two masks fit one film, and where
    `groups.csv` leaves out a film: it could then leak from one fold into another.
    """
    data = Path(data) if data is not None else None
    films_folder, masks_folder = _folders(data, images, masks)
    films, drawn = film_files(films_folder), mask_files(masks_folder)
    if films_folder.resolve() == masks_folder.resolve():
        drawn = [one for one in drawn if _is_mask_beside_films(one)]
        taken = {one.path for one in drawn}
        films = [path for path in films if path not in taken]
    if not films:
        raise DatasetError(f"{films_folder}: holds no film; put the radiographs there")
    if not drawn:
        raise DatasetError(f"{masks_folder}: holds no mask; put one there for each film")
    called = {film: film.name if keep_names else public_name(film) for film in films}
    root = data if data is not None else films_folder.parent
    remarks: list[str] = []
    try:
        pairs, unpaired_masks = pair(films, drawn)
        groups = _table(root / "groups.csv", films, pairs, remarks, complete=True)
        parts = _table(root / "parts.csv", films, pairs, remarks, complete=False)
    except DatasetError as error:
        raise DatasetError(_all_hidden(str(error), called)) from None
    if labels:
        check_labels(labels, list(pairs.values()))
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
        tuple(film for film in films if film not in pairs),
        tuple(unpaired_masks),
        tuple(_all_hidden(remark, called) for remark in remarks),
    )


def _is_mask_beside_films(one: MaskFile) -> bool:
    """Whether a file among films is a mask: annotations, or a picture that is called so."""
    return bool(suffix_of(one.path) or one.uid or MASK_ENDING.search(one.name))


def _hidden(words: str, film: Path, name: str) -> str:
    """Words in which a film, and a mask named like it, are called by another name."""
    base = FILM_ENDING.sub("", stem_of(film))
    return re.sub(re.escape(base), lambda _: name, words, flags=re.IGNORECASE)


def _all_hidden(words: str, called: Mapping[Path, str]) -> str:
    for film, name in called.items():
        if name != film.name:
            words = _hidden(words, film, stem_of(Path(name)))
    return words


def films_and_masks(images: Path, masks: Path) -> dict[Path, Path | None]:
    """Each film of a folder with its mask, a picture, or None; as `open_dataset` pairs them.

    Raises DatasetError where a folder cannot be read, or names are not clear.
    """
    films, pictures = film_files(images), picture_files(masks)
    pairs, _ = pair(films, [MaskFile(path, stem_of(path)) for path in pictures])
    return {film: pairs[film].path if film in pairs else None for film in films}


def _folders(data: Path | None, images: Path | None, masks: Path | None) -> tuple[Path, Path]:
    for folder in (data, images, masks):
        if folder is None or folder.is_dir():
            continue
        if folder is not masks or not folder.is_file():
            raise DatasetError(f"{folder}: is no folder; check the name")
        if not is_annotation(folder):
            raise DatasetError(f"{folder}: is a file without annotations; give the folder of masks")
    if images is not None and masks is not None:
        return images, masks
    if data is None:
        raise UsageError("give a data folder, or both the folder of images and that of masks")
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
    """The one file of annotations beside a folder of images, as annotation tools export them."""
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
    """The second column of a table by the name of the film, which it names in the first."""
    if not path.is_file():
        return {}
    names = {key.casefold(): stem_of(film) for film in films for key in (film.name, stem_of(film))}
    values: dict[str, str] = {}
    unknown = []
    for number, row in enumerate(_rows(path)):
        key = PurePosixPath(row[0].replace("\\", "/")).name.casefold()
        name = names.get(key) or names.get(stem_of(Path(key)))
        if len(row) < 2 or not row[1]:
            raise DatasetError(f"{path}: has nothing beside {row[0][:40]!r}; give two columns")
        if name is None:
            unknown += [row[0]] if number > 0 or key not in _HEADER else []
        elif values.setdefault(name, row[1]) != row[1]:
            raise DatasetError(f"{path}: names {row[0]} twice, as {values[name]} and {row[1]}")
    if unknown:
        remarks.append(f"{path}: names {listed(unknown)}, not among the films")
    left_out = [stem_of(film) for film in paired if stem_of(film) not in values]
    if left_out:
        remarks.append(f"{path}: leaves out {listed(left_out)}; give each film a line")
        if complete:  # films of one patient could come to stand on both sides of a split
            raise DatasetError(remarks[-1])
    return values


def _rows(path: Path) -> list[list[str]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        mark = next((mark for mark in ",;\t" if lines and mark in lines[0]), ",")
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=mark)]
    except (OSError, UnicodeDecodeError, csv.Error):
        raise DatasetError(f"{path}: cannot be read; save it as CSV in UTF-8") from None
    return [row for row in rows if any(row)]


def thumbnail(film: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean brightness of a film (H x W) over a 128 x 128 grid: all that `twins` looks at."""
    image = Image.fromarray(np.ascontiguousarray(film, np.float32))
    return np.asarray(image.resize((_GRID, _GRID), Image.Resampling.BOX))


def twins(cases: Sequence[Case], films: Iterable[NDArray[np.float32]]) -> list[int]:
    """The cluster of each case: films (float32, H x W, or their thumbnails) that are one picture.

    One picture saved twice is found after JPEG of quality 50, another brightness, contrast or
    gamma, half the size, a shift of a pixel, and a mirror flip; not after the loss of a border.
    Two films of one patient are no twins: `groups.csv` is for these.

    Compared are band-passed thumbnails, by their best correlation over shifts of up to 3 cells. The
    band is clipped at its standard deviation, for rulers and stitching lines, the same on all films
    of a clinic, would outweigh the anatomy. Of 442 leg, knee and spine films no two exceed 0.83;
    copies changed as above keep 0.93 or more.
    """
    if not cases:
        return []
    small = np.stack([thumbnail(film) for film, _ in zip(films, cases, strict=True)])
    labels = np.arange(len(small))
    seen: dict[bytes, int] = {}
    for index, picture in enumerate(small):  # also finds copies of a film without any structure
        _join(labels, index, seen.setdefault(picture.tobytes(), index))
    fine, coarse = _signature(small)
    for mirror in (1, -1):
        other = coarse[:, :, ::mirror].reshape(len(small), -1)
        for row in range(len(small)):
            alike = row + 1 + np.flatnonzero(other[row + 1 :] @ coarse[row].ravel() > _COARSE)
            for some in np.array_split(alike, len(alike) // _BLOCK + 1):
                overlap = _overlap(fine[row], fine[some][:, :, ::mirror])
                for index in some[overlap > _TWINS].tolist():
                    _join(labels, row, index)
    return [int(label) for label in labels]


def _signature(small: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two band-passed views of the thumbnails, each of unit norm: 128 x 128 and 32 x 32."""
    from scipy.ndimage import gaussian_filter

    cells = small.reshape(len(small), 32, _GRID // 32, 32, _GRID // 32).mean(axis=(2, 4))
    coarse = cells - gaussian_filter(cells, (0, 2, 2))
    band = gaussian_filter(small, (0, 1, 1)) - gaussian_filter(small, (0, 4, 4))
    spread = band.std(axis=(1, 2), keepdims=True)
    return _unit(np.clip(band, -spread, spread)), _unit(coarse)


def _unit(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = pictures - pictures.mean(axis=(1, 2), keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True))
    flat = norm < 1e-3  # no structure to compare: rounding must not make twins of blank films
    return np.where(flat, np.float32(0), centred / np.where(flat, 1, norm))


def _overlap(one: NDArray[np.float32], many: NDArray[np.float32]) -> NDArray[np.float32]:
    """The highest correlation of one view with each of the others over all small shifts."""
    spectrum = np.fft.rfft2(one) * np.fft.rfft2(many).conj()
    shifted = np.roll(np.fft.irfft2(spectrum), (_SHIFT, _SHIFT), axis=(1, 2))
    return np.asarray(shifted[:, : 2 * _SHIFT + 1, : 2 * _SHIFT + 1].max(axis=(1, 2)))


def _join(labels: NDArray[np.int64], first: int, second: int) -> None:
    labels[labels == labels[second]] = labels[first]


def split_folds(
    cases: Sequence[Case],
    clusters: Sequence[int],
    k: int,
    seed: int,
    shares: Sequence[float] | None = None,
) -> list[list[int]]:
    """k folds of indices into the cases; films of one group or cluster are in the same fold.

    Each case is in exactly one fold and no fold is empty. The sizes differ by one at most where no
    films belong together, and by little where they do. Body parts, and low and high shares of bone
    (`shares`, 0..1, one a case), are spread evenly. The names and the seed alone decide: the order
    of the cases does not. Raises DatasetError where there are fewer independent films than folds.
    """
    if k < 2:
        raise UsageError(f"{counted(k, 'fold')} cannot be made; ask for 2 or more")
    units = _units(cases, clusters)
    if len(units) < k:
        raise DatasetError(
            f"{counted(len(units), 'independent film')} or groups cannot fill {k} folds; "
            "ask for fewer folds"
        )
    return _deal(cases, units, shares, [1 / k] * k, seed)


def hold_out(
    cases: Sequence[Case],
    clusters: Sequence[int],
    fraction: float,
    seed: int,
    shares: Sequence[float] | None = None,
) -> tuple[list[int], list[int]]:
    """(train, validation) indices, `fraction` of the cases in the second; as in `split_folds`.

    Neither is empty. Raises DatasetError where all films belong together.
    """
    if not 0 < fraction < 1:
        raise UsageError(f"{fraction} of the films cannot be held out; give a part between 0 and 1")
    units = _units(cases, clusters)
    if len(units) < 2:
        raise DatasetError(
            f"{counted(len(cases), 'film')} in one group cannot be split into two; add films"
        )
    held = min(max(round(fraction * len(cases)), 1), len(cases) - 1) / len(cases)
    train, validation = _deal(cases, units, shares, [1 - held, held], seed)
    return train, validation


def name_hash_split(names: Sequence[str], fraction: float = 0.2) -> tuple[list[str], list[str]]:
    """(kept, held back): a name is held back where its SHA-256 is in the lowest `fraction`.

    Each name is judged on its own, so that films added or removed later move no other.
    """
    if not 0 <= fraction <= 1:
        raise UsageError(f"{fraction} of the names cannot be held back; give a part from 0 to 1")
    sides: tuple[list[str], list[str]] = ([], [])
    for name in names:
        digest = hashlib.sha256(name.encode(errors="surrogateescape")).digest()
        sides[int.from_bytes(digest[:8], "big") < fraction * 2**64].append(name)
    return sides


def _units(cases: Sequence[Case], clusters: Sequence[int]) -> list[list[int]]:
    """What may not be divided: indices joined by group or cluster, in the order of their names."""
    labels = np.arange(len(cases))
    first: dict[tuple[str, object], int] = {}
    for index, (case, cluster) in enumerate(zip(cases, clusters, strict=True)):
        _join(labels, index, first.setdefault(("cluster", cluster), index))
        if case.group is not None:
            _join(labels, index, first.setdefault(("group", case.group), index))
    units = defaultdict(list)
    for index in sorted(range(len(cases)), key=lambda i: cases[i].name):
        units[int(labels[index])].append(index)
    return list(units.values())


def _strata(
    cases: Sequence[Case], units: Sequence[Sequence[int]], shares: Sequence[float] | None
) -> list[tuple[str, int]]:
    """The kind of each unit: its commonest body part, and its quarter by share of bone."""
    parts = [Counter(cases[i].part or "" for i in unit).most_common(1)[0][0] for unit in units]
    means = [float(np.mean([shares[i] for i in unit])) if shares else 0.0 for unit in units]
    ranks = np.argsort(np.argsort(means, kind="stable"), kind="stable")
    quarters = (ranks * 4 // len(units)).tolist() if shares else [0] * len(units)
    return list(zip(parts, quarters, strict=True))


def _deal(
    cases: Sequence[Case],
    units: Sequence[Sequence[int]],
    shares: Sequence[float] | None,
    weights: Sequence[float],
    seed: int,
) -> list[list[int]]:
    """Deal the units out to the emptiest fold: large ones first, and one kind after the other.

    Dealt so, each kind is spread as evenly as the films; the tie goes to where it is scarcest. What
    shows no bone comes last, so that no fold is without while there is enough of it.
    """
    strata = _strata(cases, units, shares)
    bare = [shares is not None and not any(shares[i] for i in unit) for unit in units]
    shuffled = np.random.default_rng(seed).permutation(len(units)).tolist()
    order = sorted(shuffled, key=lambda u: (bare[u], -len(units[u]), strata[u]))
    folds: list[list[int]] = [[] for _ in weights]
    kinds: list[Counter[tuple[str, int]]] = [Counter() for _ in weights]

    def cost(f: int, u: int) -> tuple[float, int]:
        return (len(folds[f]) + len(units[u])) / weights[f], kinds[f][strata[u]]

    for position, u in enumerate(order):
        empty = [f for f, fold in enumerate(folds) if not fold]
        last_chance = len(empty) == len(order) - position  # to leave no fold empty
        best = min(empty if last_chance else range(len(folds)), key=lambda f: cost(f, u))
        folds[best].extend(units[u])
        kinds[best][strata[u]] += len(units[u])
    return [sorted(fold) for fold in folds]
