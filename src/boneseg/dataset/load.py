"""Decode the films of a dataset, once for all runs of a command.

    films = load_films(open_dataset("knees"), Path("runs/knees"))
    films.clusters                         # near-duplicates, for `splits`
    run = train(films.part(chosen), ...)   # shares the decoded films

The first `IN_MEMORY` bytes of decoded films are kept in memory, the others in a memory-mapped
temporary file in the run's folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from boneseg._util.array_file import ArrayFile
from boneseg._util.files import temporary_path
from boneseg._util.text import counted
from boneseg.dataset.case import Case
from boneseg.dataset.duplicates import near_duplicates, thumbnail
from boneseg.dataset.fingerprint import digest
from boneseg.dataset.open import Dataset
from boneseg.errors import BonesegError, DatasetError, OutputError
from boneseg.preprocessing import Floats, Placement, Preparation, in_squares
from boneseg.radiograph.film import Radiograph
from boneseg.radiograph.read import read_radiograph

IN_MEMORY = 2 * 2**30  # bytes: 430 megapixels with their masks

Progress = Callable[[int, int], None]  # films done, films
T = TypeVar("T")


class PlacedFilm(NamedTuple):
    """A film and its mask on the working grid, height x width, and their position there."""

    pixels: Floats
    mask: NDArray[np.bool_]
    place: Placement


@dataclass(eq=False)
class Film:
    """A decoded radiograph with its ground-truth mask, both H x W; read-only.

    What is derived from the pixels is computed once and kept.
    """

    case: Case
    radiograph: Radiograph
    mask: NDArray[np.bool_]
    _placed: tuple[Preparation, PlacedFilm] | None = field(default=None, init=False, repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        return self.mask.shape[0], self.mask.shape[1]

    @property
    def square_shape(self) -> tuple[int, int]:
        """The shape resampled to square pixels, as networks see it."""
        return in_squares(self.shape, self.radiograph.aspect)

    @cached_property
    def bone_share(self) -> float:
        """The fraction of the film that is bone, in [0, 1]."""
        return float(self.mask.mean())

    @cached_property
    def digest(self) -> str:
        """The digest of the pixels: see `dataset.fingerprint`."""
        return digest(self.radiograph)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of name, pixels and mask, and of the pixel aspect ratio where it is not 1."""
        found = hashlib.sha256()
        found.update(f"{self.case.name} {self.shape}".encode(errors="surrogateescape"))
        found.update(self.radiograph.pixels.tobytes())
        found.update(self.mask.tobytes())
        if self.radiograph.aspect != 1:
            found.update(f"{self.radiograph.aspect:.6g}".encode())
        return found.hexdigest()

    def placed(self, preparation: Preparation) -> PlacedFilm:
        """Film and mask on a working grid; the result for the last grid is kept."""
        if self._placed is None or self._placed[0] != preparation:
            pixels, place = preparation.film(self.radiograph.pixels, self.radiograph.aspect)
            mask = preparation.mask(self.mask, place)
            self._placed = preparation, PlacedFilm(pixels, mask, place)
        return self._placed[1]


@dataclass(frozen=True)
class Films(Sequence[Film]):
    """The decoded films of a dataset, or of a part of it.

    root: the folder of the dataset. clusters: a label for each film, equal for near-duplicates.
    """

    root: Path
    films: tuple[Film, ...]
    clusters: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.films)

    def __iter__(self) -> Iterator[Film]:
        return iter(self.films)

    @overload
    def __getitem__(self, index: int) -> Film: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Film, ...]: ...

    def __getitem__(self, index: int | slice) -> Film | tuple[Film, ...]:
        return self.films[index]

    def part(self, indices: Iterable[int]) -> Films:
        """Some of the films. They are the same objects, so nothing is decoded or placed again."""
        chosen = list(indices)
        films = tuple(self.films[index] for index in chosen)
        return Films(self.root, films, tuple(self.clusters[index] for index in chosen))

    def of(self, cases: Iterable[Case]) -> Films:
        """The films of some cases, in the order here."""
        chosen = set(cases)
        return self.part(index for index, film in enumerate(self.films) if film.case in chosen)

    @property
    def cases(self) -> list[Case]:
        return [film.case for film in self.films]

    @property
    def bone_shares(self) -> list[float]:
        """The fraction of bone in each film, in [0, 1]."""
        return [film.bone_share for film in self.films]

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(height, width) of each film, resampled to square pixels."""
        return [film.square_shape for film in self.films]

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of each film, by name."""
        return {film.case.name: film.fingerprint for film in self.films}


def load_films(
    data: Dataset | Films,
    scratch: Path,
    *,
    in_memory: int = IN_MEMORY,
    progress: Progress | None = None,
) -> Films:
    """Decode every film and mask of a dataset; films that are already loaded are returned.

    Args:
        data: The dataset, or its films.
        scratch: A folder for the temporary file of decoded films.
        in_memory: Bytes of decoded films that are kept in memory; 0 if worker processes get the
            films: they share the file.
        progress: Called for each film.

    Raises:
        BonesegError: For the film that cannot be read, or a DatasetError that names all.
        OutputError: If the temporary file cannot be written.
    """
    if isinstance(data, Films):
        return data
    spill = _Spill(scratch, in_memory)

    def read(case: Case) -> tuple[Film, Floats]:
        film = _read(case)
        small = thumbnail(film.radiograph.pixels)
        _ = film.fingerprint, film.digest, film.bone_share  # while its pixels are in memory
        spill.keep(film)
        return film, small

    try:
        found = _read_all(data.cases, read, data.faults, progress)
        spill.map()
    except BaseException:
        spill.file.remove()
        raise
    clusters = near_duplicates([small for _, small in found])
    return Films(data.root, tuple(film for film, _ in found), tuple(clusters))


def read_films(
    cases: Sequence[Case], progress: Progress | None = None, faults: Sequence[str] = ()
) -> list[Film]:
    """Decode films and masks into memory. faults: errors of the dataset, raised as well.

    Raises the error if there is one, or DatasetError that names all if there are several.
    """
    return _read_all(cases, _read, faults, progress)


def fingerprint(films: Iterable[Film]) -> str:
    """SHA-256 of the fingerprints of films, in any order."""
    found = hashlib.sha256()
    for one in sorted(film.fingerprint for film in films):
        found.update(one.encode())
    return found.hexdigest()


class _Spill:
    """Keeps films in memory up to a limit, the arrays of the others in a file."""

    def __init__(self, folder: Path, in_memory: int) -> None:
        self.file = ArrayFile(temporary_path(folder), shared=in_memory == 0)
        self._left = in_memory
        self._lock = Lock()
        self._written: list[tuple[Film, tuple[int, ...], int, int]] = []

    def keep(self, film: Film) -> None:
        """Write the arrays of a film and drop them, unless there is memory left."""
        pixels = film.radiograph.pixels
        with self._lock:
            if pixels.nbytes + film.mask.nbytes <= self._left:
                self._left -= pixels.nbytes + film.mask.nbytes
                return
        written = film, pixels.shape, self.file.append(pixels), self.file.append(film.mask)
        _set_arrays(film, np.empty((0, 0), np.float32), np.empty((0, 0), np.bool_))
        self._written.append(written)

    def map(self) -> None:
        """Map the arrays of films from the file."""
        for film, shape, pixels, mask in self._written:
            _set_arrays(
                film,
                self.file.array(pixels, shape, np.float32),
                self.file.array(mask, shape, np.bool_),
            )


def _set_arrays(film: Film, pixels: Floats, mask: NDArray[np.bool_]) -> None:
    film.radiograph, film.mask = replace(film.radiograph, pixels=pixels), mask


def _read(case: Case) -> Film:
    radiograph = read_radiograph(case.image)
    shape = radiograph.pixels.shape
    return Film(case, radiograph, case.read_mask((shape[0], shape[1])))


def _read_all(
    cases: Sequence[Case],
    read: Callable[[Case], T],
    faults: Sequence[str],
    progress: Progress | None,
) -> list[T]:
    """The result of `read` for each case, in two threads. Raises as `read_films`."""

    def attempt(case: Case) -> T | BonesegError:
        try:
            return read(case)
        except OutputError:  # the disk is full: no film is at fault
            raise
        except BonesegError as error:
            return error

    found: list[T] = []
    errors: list[BonesegError] = [DatasetError(fault) for fault in faults]
    at_fault = [f"{counted(len(faults), 'file')} left out"] if faults else []
    with ThreadPoolExecutor(2) as pool:
        results = zip(cases, pool.map(attempt, cases), strict=True)
        for count, (case, result) in enumerate(results, start=1):
            if isinstance(result, BonesegError):
                errors.append(result)
                at_fault.append(case.name)
                found.clear()
            elif not errors:
                found.append(result)
            if progress:
                progress(count, len(cases))
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise DatasetError(
            f"{errors[0]} ({len(errors)} errors in all, in {', '.join(at_fault)}; "
            "see boneseg check)"
        )
    return found
