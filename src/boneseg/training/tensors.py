"""Films and masks as tensors on the working grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from boneseg.dataset.load import Film
from boneseg.preprocessing import Placement, Preparation


@dataclass(frozen=True)
class PreparedFilms:
    """Films and masks on the working grid: float32 and bool, N x 1 x height x width."""

    films: Tensor
    masks: Tensor
    places: tuple[Placement, ...]

    def __len__(self) -> int:
        return len(self.places)


def prepare_films(films: Sequence[Film], preparation: Preparation) -> PreparedFilms:
    """Copy films and their masks, placed on the working grid, into tensors."""
    shape = (len(films), 1, preparation.height, preparation.width)
    pixels, masks = torch.empty(shape), torch.empty(shape, dtype=torch.bool)
    places = []
    for index, film in enumerate(films):
        placed = film.placed(preparation)
        pixels[index, 0] = torch.from_numpy(placed.pixels)
        masks[index, 0] = torch.from_numpy(placed.mask)
        places.append(placed.place)
    return PreparedFilms(pixels, masks, tuple(places))
