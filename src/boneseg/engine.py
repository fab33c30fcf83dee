"""Running a bundle on a film, without torch: OpenVINO on the CPU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from boneseg.bundle import ONNX, Bundle
from boneseg.errors import BonesegError, BundleError
from boneseg.prepare import Floats


class Engine:
    """A bundle, compiled for this machine; bfloat16 where the CPU has the instructions.

    >>> engine = Engine(load_bundle(Path("runs/knees/bundle")))
    >>> mask = engine.segment(film.pixels)
    """

    def __init__(self, bundle: Bundle) -> None:
        import openvino

        self.bundle = bundle
        core = openvino.Core()
        try:
            model = core.read_model(bundle.path / ONNX)
            model.reshape([1, 1, bundle.card.height, bundle.card.width])
            self._compiled = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
        except RuntimeError:  # OpenVINO's own message fills a screen
            problem = f"OpenVINO cannot run its {ONNX} at the size of its model.json"
            raise BundleError(f"{bundle.path}: {problem}; copy the bundle again") from None

    def probability(self, pixels: Floats) -> Floats:
        """float32 H x W in [0, 1], bone bright, to the probability of bone on the same grid.

        Raises BonesegError where the network answers with what is no number.
        """
        preparation = self.bundle.preparation
        grid, place = preparation.film(pixels)
        found = self._compiled(grid[None, None])[0][0, 0]
        if not np.isfinite(found).all():
            raise BonesegError(f"{self.bundle.path}: the model gives values that are no numbers")
        return preparation.restore(np.asarray(found, np.float32), place)

    def segment(self, pixels: Floats) -> NDArray[np.bool_]:
        """float32 H x W in [0, 1], bone bright, to bool H x W, True where there is bone."""
        return self.probability(pixels) >= self.bundle.card.threshold
