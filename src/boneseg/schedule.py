"""The learning rate over a run, as a share of its highest value."""

from __future__ import annotations

import math
from dataclasses import dataclass

from boneseg.recipe import OptimiserSettings


@dataclass
class Plateau:
    """Reduce on plateau: the rate falls by a factor after so many epochs without a gain."""

    scale: float = 1.0
    best: float = -1.0
    waited: int = 0

    def seen(self, dice: float, settings: OptimiserSettings, passed: int) -> None:
        """Take in the Dice of a check, so many epochs after the one before it."""
        if dice > self.best + 1e-4:
            self.best, self.waited = dice, 0
            return
        falls, self.waited = divmod(self.waited + passed, settings.plateau_patience)
        self.scale *= settings.plateau_factor**falls


def rate(settings: OptimiserSettings, done: float, plateau: Plateau) -> float:
    """The learning rate when the share `done` in [0, 1] of the run is behind.

    After a linear warm-up: "cosine" (Loshchilov and Hutter, 2017, without restarts), "poly" (power
    0.9; Chen et al., DeepLab, 2018), "plateau" or "constant".
    """
    highest = settings.learning_rate
    if done < settings.warmup:
        return highest * max(0.01, done / settings.warmup)
    left = 1 - min(1.0, (done - settings.warmup) / (1 - settings.warmup))
    if settings.schedule == "cosine":
        return highest * max(1e-3, 0.5 * (1 - math.cos(math.pi * left)))
    if settings.schedule == "poly":
        return highest * max(1e-3, float(left**0.9))
    return highest * plateau.scale
