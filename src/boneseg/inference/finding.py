"""The result of a model on one film."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from boneseg.errors import UsageError
from boneseg.inference.plausibility import likeness
from boneseg.masks.verdict import NO_RADIOGRAPH, Verdict
from boneseg.preprocessing import Floats
from boneseg.radiograph.grey import Grey

if TYPE_CHECKING:
    from boneseg.inference.verdict.network import Answer


@dataclass(frozen=True)
class Finding:
    """The result of a model on one film.

    scores: the probability on the film's own grid, or what makes it: few need more than the mask.
    answer: that of the verdict network, or from the film, its probability and its mask if None.
    every: whether the model should find every bone, as the bundled one.
    thumbnail: the film as the film check sees it, if it has been resized.
    naming: divides the mask into bones with names; None if no bundle has found it.
    """

    scores: Floats | Callable[[], Floats]
    mask: NDArray[np.bool_]  # H x W, True where there is bone
    film: Grey | Floats  # its grey values, H x W
    answer: Callable[[], Answer] | None = None
    every: bool = False
    thumbnail: Floats | None = None
    naming: Callable[[], dict[str, NDArray[np.bool_]]] | None = None

    @cached_property
    def probability(self) -> Floats:
        """Of bone, float32 H x W on the film's own grid, calibrated."""
        return self.scores() if callable(self.scores) else self.scores

    @property
    def pixels(self) -> Floats:
        """Of the film, float32 H x W."""
        return self.film.pixels() if isinstance(self.film, Grey) else self.film

    @cached_property
    def likeness(self) -> float:
        """How much the film looks like a radiograph, in [0, 1]: see `inference/plausibility.py`."""
        return likeness(self._checked)

    @property
    def _checked(self) -> Grey | Floats:
        """What the film check sees."""
        return self.film if self.thumbnail is None else self.thumbnail

    def _inverted_likeness(self) -> float:
        """The likeness of the film with bright and dark exchanged."""
        checked = self._checked
        return likeness(1 - (checked.pixels() if isinstance(checked, Grey) else checked))

    @cached_property
    def bones(self) -> dict[str, NDArray[np.bool_]]:
        """The mask of each bone on the film by its name, bool H x W: see `inference/bones.py`.

        Computed when it is first asked for, by a second network. Raises UsageError if the model
        does not name bones.
        """
        if self.naming is None:
            raise UsageError("this finding has no names of bones; use the engine of a bundle")
        return self.naming()

    @cached_property
    def verdict(self) -> Verdict:
        """The body part, the quality that the mask is expected to have, and the reason.

        Computed in some milliseconds when it is first asked for.
        """
        from boneseg.inference.verdict.judge import judge

        return judge(
            self._answer(),
            every=self.every,
            likeness=self.likeness,
            inverted=self._inverted_likeness,
        )

    @property
    def trust(self) -> float:
        """The balanced score that the mask is expected to have: see `masks.verdict.Verdict`."""
        return self.verdict.trust

    @property
    def warning(self) -> str | None:
        """A reason not to use the mask at all, or None."""
        return self.verdict.reason if self.verdict.part == NO_RADIOGRAPH else None

    def _answer(self) -> Answer:
        from boneseg.inference.verdict.evidence import Predictions
        from boneseg.inference.verdict.judge import answered

        if self.answer is not None:
            return self.answer()
        height, width = self.mask.shape
        mask = self.mask.astype(np.float32)
        seen = Predictions(self.pixels, self.probability, mask, None).evidence(width / height)
        return answered(seen, every=self.every)

    def __repr__(self) -> str:
        height, width = self.mask.shape
        return f"Finding({height} x {width}, {self.mask.mean():.1%} bone, trust {self.trust:.4f})"

    def _repr_html_(self) -> str:
        from boneseg._util.drawing.html import figure, frame

        words = f"bone: {self.mask.mean():.1%} of the film; {self.verdict.view}; {self.verdict}"
        return frame(figure(self.pixels, words, self.mask))
