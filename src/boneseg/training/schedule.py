"""Schedules of the learning rate, by name.

A schedule maps the fraction of the run that is left after the warm-up, from 1 to 0, and the
progress of validation to a factor of the peak learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from boneseg._util.registry import Registry
from boneseg.recipes.settings import OptimiserSettings


@dataclass
class Plateau:
    """The progress of validation, and the factor of "reduce on plateau".

    scale: falls by `plateau_factor` after `plateau_patience` epochs without improvement.
    """

    scale: float = 1.0
    best: float = -1.0
    waited: int = 0

    def record(self, dice: float, settings: OptimiserSettings, passed: int) -> None:
        """Record the Dice of a check, `passed` epochs after the previous one."""
        if dice > self.best + 1e-4:
            self.best, self.waited = dice, 0
            return
        falls, self.waited = divmod(self.waited + passed, settings.plateau_patience)
        self.scale *= settings.plateau_factor**falls


Schedule = Callable[[float, Plateau], float]

SCHEDULES: Registry[Schedule] = Registry("schedule")


@SCHEDULES.register("cosine")
def cosine(left: float, plateau: Plateau) -> float:
    """Half a cosine, down to 1/1000 (Loshchilov and Hutter, 2017, without restarts)."""
    return max(1e-3, 0.5 * (1 - math.cos(math.pi * left)))


@SCHEDULES.register("poly")
def poly(left: float, plateau: Plateau) -> float:
    """A polynomial of power 0.9, down to 1/1000 (Chen et al., DeepLab, 2018)."""
    return max(1e-3, float(left**0.9))


@SCHEDULES.register("plateau")
def on_plateau(left: float, plateau: Plateau) -> float:
    """Reduced while validation does not improve."""
    return plateau.scale


@SCHEDULES.register("constant")
def constant(left: float, plateau: Plateau) -> float:
    """The peak learning rate throughout."""
    return 1.0


def rate(settings: OptimiserSettings, done: float, plateau: Plateau) -> float:
    """Return the learning rate at the fraction `done` in [0, 1] of the run: warm-up, then schedule.

    The warm-up is linear, from 1/100 of the peak.
    """
    if done < settings.warmup:
        return settings.learning_rate * max(0.01, done / settings.warmup)
    left = 1 - min(1.0, (done - settings.warmup) / (1 - settings.warmup))
    return settings.learning_rate * SCHEDULES[settings.schedule](left, plateau)
