"""A film with its bone mask, the input of all mask writers.

Segmentation(film, mask, probability, engine.bundle.card.model, Path("knee.dcm"))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boneseg.masks.polygons import TOLERANCE
from boneseg.masks.verdict import Verdict
from boneseg.preprocessing import Floats
from boneseg.radiograph.film import Radiograph

BONE = "bone"  # the label of a region without the name of a bone
OVERLAY_SIDE = 2048  # px; the longest side of an overlay: screens show no more


Named = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Layer:
    """A labelled region of a film, bool H x W."""

    label: str
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Model:
    """The model that found a mask.

    sha256: of its card. threshold: probabilities at or above it are bone.
    """

    sha256: str
    threshold: float


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A film and the bones on it.

    mask: bool H x W on the film's own grid. scores: the probability, or what makes it; None if only
    a mask is known. model: that found the bones; None if a person drew them. name: of the film in
    outputs, not always its path: see `radiograph/privacy.py`. tolerance: greatest distance of
    polygons from the edge of the mask, px. called: name of the film in a document of several films
    (default: its file name). judged: the verdict on the model's mask, or what reaches it; None if
    there is none. overlay_side: longest side of an overlay, px; None: the film's size. named: the
    mask of each bone by its name, or what makes it; None if the bones have no names. They lie
    within the mask, and may overlap.
    """

    film: Radiograph
    mask: NDArray[np.bool_]
    scores: Floats | Callable[[], Floats] | None
    model: Model | None
    name: Path
    tolerance: float = TOLERANCE
    called: str = ""
    judged: Verdict | Callable[[], Verdict] | None = None
    overlay_side: int | None = OVERLAY_SIDE
    named: Named | Callable[[], Named] | None = None

    @cached_property
    def probability(self) -> Floats | None:
        """Of bone, float32 H x W in [0, 1]; None if only a mask is known."""
        return self.scores() if callable(self.scores) else self.scores

    @cached_property
    def verdict(self) -> Verdict | None:
        """On the model's mask; None if there is none."""
        return self.judged() if callable(self.judged) else self.judged

    @cached_property
    def bones(self) -> Named | None:
        """The mask of each bone by its name; None if the bones have no names."""
        return self.named() if callable(self.named) else self.named

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The regions as formats with labels write them; together they are the mask.

        Without names one, `BONE`. With names each bone, and as `BONE` what is left, if anything.
        """
        if self.bones is None:
            return (Layer(BONE, self.mask),)
        found = [Layer(name, mask) for name, mask in self.bones.items()]
        rest = self.mask.copy()
        for layer in found:
            rest &= ~layer.mask
        return (*found, Layer(BONE, rest)) if rest.any() or not found else tuple(found)

    @property
    def title(self) -> str:
        """Name of the film in a document of several films."""
        return self.called or self.name.name
