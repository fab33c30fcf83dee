"""Read the films of a dataset once, and place them on the working grid."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from boneseg._util.text import counted, listed
from boneseg.dataset.case import Case
from boneseg.errors import BonesegError, DatasetError, TrainingError
from boneseg.preprocessing import Placement, Preparation, in_squares
from boneseg.radiograph.film import Radiograph
from boneseg.radiograph.read import read_radiograph

_WORDS = {  # names of settings in messages
    "folds": "number of folds",
    "init": "model (--init)",
    "dealt": "groups.csv or parts.csv",
}


@dataclass(frozen=True)
class Film:
    """A radiograph with its ground-truth mask, both H x W."""

    case: Case
    radiograph: Radiograph
    mask: NDArray[np.bool_]

    @property
    def shape(self) -> tuple[int, int]:
        return self.mask.shape[0], self.mask.shape[1]

    @property
    def square_shape(self) -> tuple[int, int]:
        """The shape resampled to square pixels, as networks see it."""
        return in_squares(self.shape, self.radiograph.aspect)


def read_films(
    cases: Sequence[Case],
    progress: Callable[[int, int], None] | None = None,
    faults: Sequence[str] = (),
) -> list[Film]:
    """Read every film and mask. faults: errors of the dataset, which are raised as well.

    Raises the error if there is one, or DatasetError that names all if there are several.
    """

    def read(case: Case) -> Film | BonesegError:
        try:
            radiograph = read_radiograph(case.image)
            shape = radiograph.pixels.shape
            return Film(case, radiograph, case.read_mask((shape[0], shape[1])))
        except BonesegError as error:
            return error

    films: list[Film] = []
    errors: list[BonesegError] = [DatasetError(fault) for fault in faults]
    wrong = [f"{counted(len(faults), 'file')} left out"] if faults else []
    with ThreadPoolExecutor(2) as pool:
        for count, (case, found) in enumerate(
            zip(cases, pool.map(read, cases), strict=True), start=1
        ):
            if isinstance(found, BonesegError):
                errors.append(found)
                wrong.append(case.name)
                films.clear()
            elif not errors:
                films.append(found)
            if progress:
                progress(count, len(cases))
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise DatasetError(
            f"{errors[0]} ({len(errors)} errors in all, in {', '.join(wrong)}; see boneseg check)"
        )
    return films


def fingerprint(films: Sequence[Film]) -> str:
    """SHA-256 of the names, pixels and masks of the films, in order of name.

    Includes the pixel aspect ratio where it is not 1.
    """
    digest = hashlib.sha256()
    for film in sorted(films, key=lambda film: film.case.name):
        name = f"{film.case.name} {film.shape}"
        digest.update(name.encode(errors="surrogateescape"))
        digest.update(film.radiograph.pixels.tobytes())
        digest.update(film.mask.tobytes())
        if film.radiograph.aspect != 1:
            digest.update(f"{film.radiograph.aspect:.6g}".encode())
    return digest.hexdigest()


def fingerprints(films: Sequence[Film]) -> dict[str, str]:
    """The fingerprint of each film, by name."""
    return {film.case.name: fingerprint([film]) for film in films}


def refuse_other(asked: Mapping[str, Any], before: Mapping[str, Any], place: Path) -> None:
    """Compare the settings of a resumed run with those it was started with.

    Both have the `fingerprints` of their films as "films". Raises TrainingError that names the
    first difference; derived settings come after those they depend on.
    """
    films = before.get("films")
    now, then = asked["films"], films if isinstance(films, dict) else {}
    changed = sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))
    if changed:
        reason = f"films have changed since ({listed(changed)})"
        raise TrainingError(f"{place}: {reason}; start a new run")
    for name, value in asked.items():
        if before.get(name) != value:
            reason = f"was started with a different {_WORDS.get(name, name)}"
            raise TrainingError(f"{place}: {reason}; use that one, or start a new run")


@dataclass(frozen=True)
class PreparedFilms:
    """Films and masks on the working grid: float32 and bool, N x 1 x height x width."""

    films: Tensor
    masks: Tensor
    places: tuple[Placement, ...]

    def __len__(self) -> int:
        return len(self.places)


def prepare_films(films: Sequence[Film], preparation: Preparation) -> PreparedFilms:
    """Place the films and their masks on the working grid."""
    shape = (len(films), 1, preparation.height, preparation.width)
    pixels, masks = torch.empty(shape), torch.empty(shape, dtype=torch.bool)
    places = []
    for index, film in enumerate(films):
        grid, place = preparation.film(film.radiograph.pixels, film.radiograph.aspect)
        pixels[index, 0] = torch.from_numpy(grid)
        masks[index, 0] = torch.from_numpy(preparation.mask(film.mask, place))
        places.append(place)
    return PreparedFilms(pixels, masks, tuple(places))
