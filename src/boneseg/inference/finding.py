"""The result of a model on one film."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from boneseg.inference.plausibility import LEAST, likeness
from boneseg.preprocessing import Floats


@dataclass(frozen=True)
class Finding:
    """The result of a model on one film.

    scores: the probability on the film's own grid, or what makes it: few need more than the mask.
    grid: the calibrated probability on the working grid, where the film is; None if unknown.
    """

    scores: Floats | Callable[[], Floats]
    mask: NDArray[np.bool_]  # H x W, True where there is bone
    trust: float | None  # in [0, 1]; None for a single member without test-time augmentation
    pixels: Floats  # of the film, H x W
    grid: Floats | None = None

    @cached_property
    def probability(self) -> Floats:
        """Of bone, float32 H x W on the film's own grid, calibrated."""
        return self.scores() if callable(self.scores) else self.scores

    @property
    def confidence(self) -> float:
        """The mean probability of the predicted class, in [0.5, 1], over the working grid."""
        grid = self.probability if self.grid is None else self.grid
        return 0.5 + float(np.abs(grid - 0.5).mean())

    @cached_property
    def likeness(self) -> float:
        """How much the film looks like a radiograph, in [0, 1]: see `inference/plausibility.py`."""
        return likeness(self.pixels)

    @property
    def warning(self) -> str | None:
        """A reason to distrust the mask, or None."""
        if self.likeness >= LEAST:
            return None
        return f"does not look like a radiograph (likeness {self.likeness:.2f}); check the film"

    def __repr__(self) -> str:
        height, width = self.mask.shape
        trust = "unknown" if self.trust is None else f"{self.trust:.4f}"
        return f"Finding({height} x {width}, {self.mask.mean():.1%} bone, trust {trust})"

    def _repr_html_(self) -> str:
        from boneseg._util.drawing.html import figure, frame

        trust = "" if self.trust is None else f", trust {self.trust:.2f}"
        caution = f"; warning: {self.warning}" if self.warning else ""
        words = f"bone: {self.mask.mean():.1%} of the film{trust}{caution}"
        return frame(figure(self.pixels, words, self.mask))
