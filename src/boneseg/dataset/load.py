"""The films of a dataset, read once and laid on the working grid."""

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
from boneseg.dataset.open import Case
from boneseg.errors import BonesegError, DatasetError, TrainingError
from boneseg.preprocessing import Placement, Preparation, in_squares
from boneseg.radiograph.read import Radiograph, read_radiograph

_WORDS = {  # names of settings in messages
    "folds": "number of folds",
    "init": "model (--init)",
    "dealt": "groups.csv or parts.csv",
}


@dataclass(frozen=True)
class Film:
    """A radiograph with the mask drawn for it, both H x W."""

    case: Case
    radiograph: Radiograph
    mask: NDArray[np.bool_]

    @property
    def shape(self) -> tuple[int, int]:
        return self.mask.shape[0], self.mask.shape[1]

    @property
    def square_shape(self) -> tuple[int, int]:
        """As `shape`, once its pixels are squares: what a network sees."""
        return in_squares(self.shape, self.radiograph.aspect)


def read_films(
    cases: Sequence[Case],
    progress: Callable[[int, int], None] | None = None,
    faults: Sequence[str] = (),
) -> list[Film]:
    """Read every film and mask. faults: of the dataset, which stop this, too.

    Raises the error of the one that cannot be read, or DatasetError with the names of all.
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
    """SHA-256 over the names, pixels and masks of the films, in the order of their names.

    Where pixels are no squares, over their shape, too.
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
    """The fingerprint of each film by its name."""
    return {film.case.name: fingerprint([film]) for film in films}


def refuse_other(asked: Mapping[str, Any], before: Mapping[str, Any], place: Path) -> None:
    """Hold what is asked of a run that goes on against what it began with.

    Both have the `fingerprints` of their films as "films". The first that differs is named: what
    follows from others stands behind them. Raises TrainingError.
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
    """Lay the films and their masks on the working grid."""
    shape = (len(films), 1, preparation.height, preparation.width)
    pixels, masks = torch.empty(shape), torch.empty(shape, dtype=torch.bool)
    places = []
    for index, film in enumerate(films):
        grid, place = preparation.film(film.radiograph.pixels, film.radiograph.aspect)
        pixels[index, 0] = torch.from_numpy(grid)
        masks[index, 0] = torch.from_numpy(preparation.mask(film.mask, place))
        places.append(place)
    return PreparedFilms(pixels, masks, tuple(places))
