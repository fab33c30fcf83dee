"""Running a bundle on a film, without torch: OpenVINO on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boneseg.bundle import ONNX, Bundle
from boneseg.errors import BonesegError, BundleError
from boneseg.prepare import Floats

KEPT = 8  # sizes for which a compiled network is kept, where a grid takes each film's shape


@dataclass(frozen=True)
class Finding:
    """What a model finds on one film."""

    probability: Floats  # of bone, H x W on the film's own grid, calibrated
    mask: NDArray[np.bool_]  # H x W, True where there is bone
    trust: float | None  # in [0, 1]; None where one view alone was taken
    pixels: Floats  # of the film, H x W

    def __repr__(self) -> str:
        height, width = self.mask.shape
        trust = "unknown" if self.trust is None else f"{self.trust:.4f}"
        return f"Finding({height} x {width}, {self.mask.mean():.1%} bone, trust {trust})"

    def _repr_html_(self) -> str:
        from boneseg.report.notebook import finding_html

        return finding_html(self)


class Engine:
    """A bundle, compiled for this machine; bfloat16 where the CPU has the instructions.

    >>> engine = Engine(load_bundle(Path("runs/knees/bundle")))
    >>> mask = engine.segment(film.pixels)
    """

    def __init__(self, bundle: Bundle) -> None:
        import openvino

        self.bundle = bundle
        self._core = openvino.Core()
        self._compiled: dict[tuple[int, int], Any] = {}
        if not bundle.card.fitted:  # a bundle that cannot run is told before the first film
            self._at(bundle.card.height, bundle.card.width)

    def _at(self, height: int, width: int) -> Any:
        """The network compiled for a working grid; that of the last few sizes is kept."""
        if (height, width) not in self._compiled:
            card, path = self.bundle.card, self.bundle.path
            try:
                model = self._core.read_model(path / ONNX)
                model.reshape([2 if card.flips else 1, 1, height, width])
                compiled = self._core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
            except RuntimeError:  # OpenVINO's own message fills a screen
                problem = f"OpenVINO cannot run its {ONNX} at {height} x {width}"
                raise BundleError(f"{path}: {problem}; copy the bundle again") from None
            while len(self._compiled) >= KEPT:
                self._compiled.pop(next(iter(self._compiled)))
            self._compiled[height, width] = compiled
        return self._compiled[height, width]

    def find(self, pixels: Floats) -> Finding:
        """float32 H x W in [0, 1], bone bright, to its bones.

        Raises BonesegError where the network answers with what is no number.
        """
        card = self.bundle.card
        preparation = self.bundle.preparation((pixels.shape[0], pixels.shape[1]))
        grid, place = preparation.film(pixels)
        films = np.stack([grid, grid[:, ::-1]])[:, None] if card.flips else grid[None, None]
        network = self._at(preparation.height, preparation.width)
        found = np.asarray(network(films)[0], np.float32)
        if not np.isfinite(found).all():
            raise BonesegError(f"{self.bundle.path}: the model gives values that are no numbers")
        if card.flips:
            found = np.stack([found[0], found[1, :, :, ::-1]])
        views = found.reshape(-1, *found.shape[-2:])
        mean = calibrated(views.mean(axis=0), card.temperature)
        probability = preparation.restore(mean, place)
        trust = (
            agreement(calibrated(views, card.temperature), card.threshold)
            if len(views) > 1
            else None
        )
        return Finding(probability, probability >= card.threshold, trust, pixels)

    def probability(self, pixels: Floats) -> Floats:
        """float32 H x W in [0, 1], bone bright, to the probability of bone on the same grid."""
        return self.find(pixels).probability

    def segment(self, pixels: Floats) -> NDArray[np.bool_]:
        """float32 H x W in [0, 1], bone bright, to bool H x W, True where there is bone."""
        return self.find(pixels).mask


def calibrated(probability: Floats, temperature: float) -> Floats:
    """Probabilities with their logits divided by a temperature (Guo et al., 2017)."""
    if temperature == 1:
        return probability
    p = np.clip(probability, 1e-7, 1 - 1e-7).astype(np.float64)
    odds = ((1 - p) / p) ** (1 / temperature)
    return np.asarray(1 / (1 + odds), np.float32)


def agreement(views: Floats, threshold: float) -> float:
    """How far views of one film agree: the mean Dice of all pairs of their masks.

    views: float32 K x H x W, the probabilities that the members find on the film and its mirror
    image. Where nobody finds bone all agree: 1. The best predictor of a mask's true Dice in Roy et
    al., "Bayesian QuickNAT", 2019, but for the name.
    """
    masks = (views >= threshold).reshape(len(views), -1).astype(np.float32)
    sizes, common = masks.sum(axis=1), masks @ masks.T
    total = sizes[:, None] + sizes[None]
    dice = np.where(total > 0, 2 * common / np.maximum(total, 1), 1.0)
    return float(dice[np.triu_indices(len(views), 1)].mean())
