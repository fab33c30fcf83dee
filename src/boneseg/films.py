"""The films of a dataset, read once and laid on the working grid."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from boneseg.dataset import Case
from boneseg.prepare import Placement, Preparation, in_squares
from boneseg.radiograph import Radiograph, read_radiograph
from boneseg.words import listed


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
    cases: Sequence[Case], progress: Callable[[int, int], None] | None = None
) -> list[Film]:
    """Read every film and mask; the first that cannot be read raises."""

    def read(case: Case) -> Film:
        radiograph = read_radiograph(case.image)
        shape = radiograph.pixels.shape
        return Film(case, radiograph, case.read_mask((shape[0], shape[1])))

    films = []
    with ThreadPoolExecutor(2) as pool:
        for count, film in enumerate(pool.map(read, cases), start=1):
            films.append(film)
            if progress:
                progress(count, len(cases))
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


def what_changed(now: Mapping[str, str], before: Mapping[str, str]) -> str:
    """Names the films that are not as they were, came or went, for a message; "" where none is."""
    changed = sorted(
        name for name in now.keys() | before.keys() if now.get(name) != before.get(name)
    )
    return f"films have changed since ({listed(changed)})" if changed else ""


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
