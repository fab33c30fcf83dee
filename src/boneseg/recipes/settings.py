"""The sections of a recipe: typed settings with their ranges and descriptions.

Networks, losses, optimisers and schedules are named here and registered elsewhere
(`networks.NETWORKS`, `training.losses.LOSSES`, …); `training.components` checks the names.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from boneseg.recipes.network import Name, Section

LARGEST_SIDE = 4096  # px, of the working size


class PrepareSettings(Section):
    """How a film becomes the network's input."""

    height: int | None = Field(
        None, ge=32, le=LARGEST_SIDE, description="working height, px (if unset: from the films)"
    )
    width: int | None = Field(
        None, ge=32, le=LARGEST_SIDE, description="working width, px (if unset: from the films)"
    )
    max_pixels: int = Field(
        131_072, ge=1024, description="maximum working height x width if derived from the films"
    )


class SettledPrepare(PrepareSettings):
    """The settled working size."""

    height: int = Field(ge=32, le=LARGEST_SIDE)
    width: int = Field(ge=32, le=LARGEST_SIDE)


class AugmentSettings(Section):
    """Training augmentation: probabilities and strengths."""

    flip_horizontal: float = Field(0.5, ge=0, le=1, description="probability of a left-right flip")
    flip_vertical: float = Field(0.0, ge=0, le=1, description="probability of an up-down flip")
    geometry: float = Field(0.8, ge=0, le=1, description="probability of rotation, zoom and shift")
    rotation: float = Field(5.0, ge=0, le=180, description="maximum, degrees either way")
    zoom: float = Field(0.2, ge=0, lt=0.9, description="maximum, fraction either way")
    shift: float = Field(0.03, ge=0, le=0.5, description="maximum, fraction of the side either way")
    elastic: float = Field(0.0, ge=0, le=1, description="probability of a smooth deformation")
    elastic_size: float = Field(
        0.02, ge=0, le=0.2, description="amplitude, fraction of the shorter side"
    )
    gamma: float = Field(0.3, ge=0, le=1, description="probability of a gamma curve")
    contrast: float = Field(
        0.5, ge=0, le=1, description="probability of brightness and contrast changes"
    )
    invert: float = Field(0.0, ge=0, le=1, description="probability of inverted grey values")
    blur: float = Field(0.15, ge=0, le=1, description="probability of blur or sharpening")
    noise: float = Field(0.2, ge=0, le=1, description="probability of Gaussian noise")
    dropout: float = Field(0.0, ge=0, le=1, description="probability of blanked rectangles")
    letter: float = Field(0.05, ge=0, le=1, description="probability of a burned-in letter")
    views: int = Field(
        0, ge=0, le=100, description="fixed augmented copies per film; 0: new ones at each step"
    )

    def off(self) -> Self:
        """Return these settings with every probability at zero."""
        strengths = {"rotation", "zoom", "shift", "elastic_size", "views"}
        names = set(type(self).model_fields) - strengths
        return self.model_copy(update=dict.fromkeys(names, 0.0))


class LossSettings(Section):
    """A weighted sum of losses: `name` is the weight of a loss, `name_parameter` a parameter of it.

    Losses registered beside those below have their weights and parameters as further keys.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float]

    dice: float = Field(1.0, ge=0, description="weight of 1 - soft Dice")
    bce: float = Field(1.0, ge=0, description="weight of binary cross-entropy")
    focal: float = Field(0.0, ge=0, description="weight of the focal loss")
    dice_smooth: float = Field(
        1.0, ge=0, description="added to numerator and denominator of Dice, px"
    )
    focal_gamma: float = Field(
        2.0, ge=0, description="focusing parameter: down-weights easy pixels"
    )
    focal_alpha: float = Field(
        0.25, ge=0, le=1, description="weight of bone; background has 1 - alpha"
    )

    @model_validator(mode="after")
    def _some_loss(self) -> Self:
        if self.dice + self.bce + self.focal <= 0 and not self.__pydantic_extra__:
            raise ValueError("at least one of dice, bce and focal must be above 0")
        return self

    def value(self, key: str, default: float) -> float:
        """The weight or parameter of this key; the default where it is not set."""
        found: float = getattr(self, key, default)
        return found


class OptimiserSettings(Section):
    """The optimiser and its schedule."""

    name: Name = Field("adamw", description="optimiser; SGD has Nesterov momentum")
    learning_rate: float = Field(3e-3, gt=0, le=10, description="peak learning rate")
    weight_decay: float = Field(1e-2, ge=0, description="AdamW: decoupled; SGD: L2; Adam: ignored")
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD only; 0 is plain SGD")
    schedule: Name = Field("cosine", description="schedule of the learning rate")
    warmup: float = Field(
        0.03, ge=0, lt=1, description="fraction of the run with a rising learning rate"
    )
    plateau_factor: float = Field(0.9, gt=0, lt=1, description="plateau: learning-rate factor")
    plateau_patience: int = Field(
        8, ge=1, description="plateau: epochs without improvement (with minutes: validation checks)"
    )
    clip: float = Field(5.0, ge=0, description="maximum gradient norm; 0: no clipping")


class RunSettings(Section):
    """One training run."""

    epochs: int = Field(100, ge=1, description="passes over the training films")
    minutes: float | None = Field(
        None, gt=0, description="training time in minutes; replaces epochs"
    )
    clock: Literal["wall", "core"] = Field(
        "wall", description="what minutes counts: wall-clock or CPU time"
    )
    batch: int | None = Field(
        None, ge=1, description="films per step (if unset: from the working size)"
    )
    validation: float = Field(
        0.15, gt=0, lt=1, description="fraction of films held out for validation"
    )
    ema: float = Field(0.999, ge=0, lt=1, description="decay of the weight average (EMA); 0: none")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="arithmetic of training")
    batch_invariant: bool = Field(
        False,
        description="compute each film by itself: the same weights on any number of CPU devices",
    )
    guard: bool = Field(True, description="restart a collapsed run")
    seed: int = Field(
        0, ge=0, lt=2**31, description="random seed of weights, film order and augmentation"
    )
    balance: float = Field(
        0.0, ge=0, le=1, description="balance of body parts: 0 as in the data, 1 all equally often"
    )


class SettledRun(RunSettings):
    """One settled training run.

    `precision` may remain "auto": it is decided on each machine that trains.
    """

    batch: int = Field(ge=1)
