"""A film with its mask on disk."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boneseg.dataset.pairing import FILM_ENDING
from boneseg.errors import MaskError
from boneseg.masks.annotations import cut_off, suffix_of
from boneseg.masks.filenames import stem_of
from boneseg.masks.read import read_mask


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
        try:
            return read_mask(self.mask, shape, film=self.film, labels=self.labels)
        except MaskError as error:
            error.args = (self.hide(str(error)),)
            raise

    def cut_off(self, shape: tuple[int, int]) -> float:
        """How far polygons reach beyond the film, in px; that part is clipped. Raises MaskError."""
        has_polygons = suffix_of(self.mask) in (".json", ".xml", ".txt")
        return cut_off(self.mask, shape, film=self.film) if has_polygons else 0.0

    def hide(self, text: str) -> str:
        """Text about the film or its mask, without names that identify the patient."""
        return (
            text if self.name == stem_of(self.image) else without_name(text, self.image, self.name)
        )


def without_name(text: str, film: Path, name: str) -> str:
    """The text with the name of a film, and of a mask named like it, replaced by `name`."""
    base = FILM_ENDING.sub("", stem_of(film))
    return re.sub(re.escape(base), lambda _: name, text, flags=re.IGNORECASE)
