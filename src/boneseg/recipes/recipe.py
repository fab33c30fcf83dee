"""Every setting of a training run, typed, with one comment each.

A recipe is data. It is written as TOML, one table a section::

    [network]
    width = 32

    [loss]
    dice = 1.0
    focal = 1.0

What a recipe leaves at ``None`` (in TOML: leaves out) is settled from the films by `settle`.
"""

from __future__ import annotations

import difflib
import json
import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from boneseg._util.text import counted
from boneseg.errors import RecipeError
from boneseg.preprocessing import multiple_of_32

RECIPE_VERSION = 1
LARGEST_FILE = 50_000  # bytes of TOML, ten times the longest recipe
LONGEST_KEY = 100  # letters of a key in a message
FINE = 32_768  # pixels of a working grid from which 2 x 2 of them are fine enough as one


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PrepareSettings(_Section):
    """How a film becomes the network's input."""

    height: int | None = Field(None, ge=32, le=4096, description="working height, px")
    width: int | None = Field(None, ge=32, le=4096, description="working width, px")
    max_pixels: int = Field(
        131_072, ge=1024, description="working height x width at most, where the films decide"
    )


class NetworkSettings(_Section):
    """The U-Net."""

    architecture: Literal["unet", "unetplusplus"] = Field("unet", description="the family")
    inputs: Literal["film", "copies", "filters"] = Field(
        "film", description="or the film three times, or with its blur and its edges"
    )
    attention: bool = Field(False, description="unet: gates on the skip connections")
    block: Literal["plain", "residual", "separable"] = Field(
        "plain", description="two convolutions, a sum, or two by channel and by pixel"
    )
    norm: Literal["batch", "instance", "none"] = Field("batch", description="normalisation")
    width: int = Field(16, ge=1, le=512, description="channels of the first level")
    max_width: int = Field(256, ge=1, le=2048, description="channels double down to this many")
    stem: int | None = Field(None, ge=1, le=8, description="pixels a side of a patch taken as one")
    levels: int | None = Field(None, ge=1, le=10, description="resolutions, the first included")
    widths: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(
        None, min_length=1, max_length=10, description="channels of each level, outright"
    )
    deep_supervision: bool = Field(True, description="a loss at every decoder level")
    depth: int | None = Field(
        None, ge=1, le=9, description="unetplusplus: cut at this depth when trained; quicker"
    )

    @model_validator(mode="after")
    def _of_one_family(self) -> Self:
        if self.attention and self.architecture != "unet":
            raise ValueError("attention gates belong to architecture unet; leave one of them out")
        nested = self.architecture == "unetplusplus" and self.deep_supervision
        if self.depth is not None and not nested:
            raise ValueError("depth asks for architecture unetplusplus with deep_supervision")
        return self


class AugmentSettings(_Section):
    """Training augmentation: how likely, and how far."""

    flip_horizontal: float = Field(0.5, ge=0, le=1, description="probability")
    flip_vertical: float = Field(0.0, ge=0, le=1, description="probability")
    geometry: float = Field(0.8, ge=0, le=1, description="probability of rotate, zoom, shift")
    rotation: float = Field(5.0, ge=0, le=180, description="degrees either way")
    zoom: float = Field(0.2, ge=0, lt=0.9, description="share either way")
    shift: float = Field(0.03, ge=0, le=0.5, description="share of the side either way")
    elastic: float = Field(0.0, ge=0, le=1, description="probability of a smooth deformation")
    elastic_size: float = Field(0.02, ge=0, le=0.2, description="share of the shorter side")
    gamma: float = Field(0.3, ge=0, le=1, description="probability")
    contrast: float = Field(0.5, ge=0, le=1, description="probability of brightness and contrast")
    invert: float = Field(0.0, ge=0, le=1, description="probability of black for white")
    blur: float = Field(0.15, ge=0, le=1, description="probability of blur or sharpening")
    noise: float = Field(0.2, ge=0, le=1, description="probability")
    dropout: float = Field(0.0, ge=0, le=1, description="probability of blanked rectangles")
    letter: float = Field(0.05, ge=0, le=1, description="probability of a burned-in letter")
    views: int = Field(
        0, ge=0, le=100, description="fixed views added to each film; 0: a new view at each step"
    )

    def off(self) -> Self:
        """The same settings with every probability at zero."""
        strengths = {"rotation", "zoom", "shift", "elastic_size", "views"}
        names = set(type(self).model_fields) - strengths
        return self.model_copy(update=dict.fromkeys(names, 0.0))


class LossSettings(_Section):
    """A weighted sum of losses."""

    dice: float = Field(1.0, ge=0, description="weight of 1 - soft Dice")
    bce: float = Field(1.0, ge=0, description="weight of binary cross-entropy")
    focal: float = Field(0.0, ge=0, description="weight of the focal loss")
    dice_smooth: float = Field(1.0, ge=0, description="added above and below the Dice fraction, px")
    focal_gamma: float = Field(2.0, ge=0, description="how strongly easy pixels are discounted")
    focal_alpha: float = Field(0.25, ge=0, le=1, description="weight of bone against background")

    @model_validator(mode="after")
    def _some_loss(self) -> Self:
        if self.dice + self.bce + self.focal <= 0:
            raise ValueError("at least one of dice, bce and focal must have a weight above 0")
        return self


class OptimiserSettings(_Section):
    """The optimiser and its schedule."""

    name: Literal["adamw", "adam", "sgd"] = Field("adamw", description="SGD has Nesterov momentum")
    learning_rate: float = Field(3e-3, gt=0, le=10, description="its highest value")
    weight_decay: float = Field(1e-2, ge=0, description="AdamW: decoupled; SGD: L2; Adam: ignored")
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD only; 0 is plain SGD")
    schedule: Literal["cosine", "poly", "plateau", "constant"] = Field(
        "cosine", description="how the rate falls over the run"
    )
    warmup: float = Field(0.03, ge=0, lt=1, description="share of the run with a rising rate")
    plateau_factor: float = Field(0.9, gt=0, lt=1, description="plateau: times this")
    plateau_patience: int = Field(
        8, ge=1, description="plateau: after so many epochs without gain; with minutes, checks"
    )
    clip: float = Field(5.0, ge=0, description="longest gradient; 0 leaves it be")


class RunSettings(_Section):
    """One training run."""

    epochs: int = Field(100, ge=1, description="passes over the training films")
    minutes: float | None = Field(None, gt=0, description="or as well as so many minutes allow")
    clock: Literal["wall", "core"] = Field(
        "wall", description="core: a core's own minutes, whatever else the machine does"
    )
    batch: int | None = Field(None, ge=1, description="films a step")
    validation: float = Field(0.15, gt=0, lt=1, description="share of films that choose weights")
    ema: float = Field(0.999, ge=0, lt=1, description="decay of the averaged weights; 0 is none")
    precision: Literal["auto", "fp32", "bf16"] = Field("auto", description="arithmetic in training")
    guard: bool = Field(True, description="restart a run that has collapsed")
    seed: int = Field(0, ge=0, lt=2**31, description="of weights, order and augmentation")
    balance: float = Field(
        0.0, ge=0, le=1, description="of body parts: 0 as they come, 1 each as often as the others"
    )


class Recipe(_Section):
    """Every setting of a training run.

    >>> default = Recipe()
    >>> default.network.width
    16
    """

    version: int = Field(RECIPE_VERSION, description="of the recipe's own format")
    summary: str = Field("the balanced choice, sized so that a CPU trains it", description="a line")
    prepare: PrepareSettings = PrepareSettings()
    network: NetworkSettings = NetworkSettings()
    augment: AugmentSettings = AugmentSettings()
    loss: LossSettings = LossSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    run: RunSettings = RunSettings()

    def settle(self, shapes: Sequence[tuple[int, int]]) -> Recipe:
        """Fill what the recipe leaves open from the (height, width) of the films.

        The working size keeps the films' median shape, and is at most their median size and
        `prepare.max_pixels`, but for being rounded to multiples of 32. The network takes 2 x 2
        pixels as one where the grid is large enough, and halves it until about eight are left of a
        side. A step holds about as many pixels as four films of 256 x 256. Raises RecipeError where
        they contradict what it says, or leave a network that cannot be trained.
        """
        height, width = self.prepare.height, self.prepare.width
        if height is None or width is None:
            height, width = working_size(shapes, self.prepare.max_pixels, height, width)
        stem = self.network.stem or (2 if height * width >= FINE else 1)
        levels = self.network.levels
        if self.network.widths is not None:
            levels = len(self.network.widths)
        elif levels is None:
            levels = _levels(height // stem, width // stem)
        widths = self.network.widths or tuple(
            min(self.network.width * 2**level, self.network.max_width) for level in range(levels)
        )
        if self.network.depth is not None and self.network.depth >= levels:
            raise RecipeError(
                f"network.depth {self.network.depth}: {counted(levels, 'level')} "
                f"reach depth {levels - 1}"
            )
        batch = self.run.batch or min(8, max(2, round(4 * 65536 / (height * width))))
        settled = self.model_copy(
            update={
                "prepare": self.prepare.model_copy(update={"height": height, "width": width}),
                "network": self.network.model_copy(
                    update={"stem": stem, "levels": levels, "widths": widths}
                ),
                "run": self.run.model_copy(update={"batch": batch}),
            }
        )
        settled.check_normalisation(batch)
        return settled

    def check_normalisation(self, batch: int) -> None:
        """Raise RecipeError where a settled recipe would normalise a single value, which is 0.

        batch: films a step, which are fewer than `run.batch` where there are fewer films.
        """
        norm, levels, stem = self.network.norm, self.network.levels or 1, self.network.stem or 1
        height, width = self.prepare.height or 1, self.prepare.width or 1
        stride = stem * 2 ** (levels - 1)
        bottom = [math.ceil(side / stride) for side in (height, width)]
        if bottom != [1, 1] or norm == "none" or (norm == "batch" and batch > 1):
            return
        films = "" if norm == "instance" else ", with 1 film a step"
        advice = (
            "fewer levels, a larger grid, or norm = none"
            if norm == "instance"
            else "more films, or fewer levels"
        )
        raise RecipeError(
            f"network.norm {norm}: {levels} levels leave 1 pixel of {height} x {width}{films}, and "
            f"one value cannot be normalised; take {advice}"
        )

    def with_settings(self, assignments: Sequence[str]) -> Recipe:
        """This recipe with ``section.key=value`` assignments; values are read as TOML or text.

        Epochs take the place of the recipe's minutes, which would else go before them.
        """
        data = self.model_dump(mode="json", exclude_none=True)
        for assignment in assignments:
            key, separator, text = assignment.partition("=")
            if not separator:
                raise RecipeError(f"--set {assignment}: write it as section.key=value")
            key = key.strip()
            _assign(data, key, _parse_value(text.strip()), f"--set {key}")
            if key == "run.epochs":
                data["run"].pop("minutes", None)
        return parse(data, "--set")

    def to_toml(self) -> str:
        """The whole recipe as TOML, a comment for each setting."""
        lines = [
            f"# {' '.join(self.summary.split())}",
            f"version = {self.version}",
            f"summary = {json.dumps(self.summary, ensure_ascii=False)}",
        ]
        for section in _sections():
            settings: _Section = getattr(self, section)
            lines += ["", f"[{section}]"]
            for key, field in type(settings).model_fields.items():
                value = getattr(settings, key)
                text = f"{key} = {_toml_value(value)}" if value is not None else f"# {key} ="
                origin = "" if value is not None else " (settled by the run)"
                lines.append(f"{text:<28} # {field.description}{origin}")
        return "\n".join(lines) + "\n"


def working_size(
    shapes: Sequence[tuple[int, int]],
    max_pixels: int,
    height: int | None = None,
    width: int | None = None,
) -> tuple[int, int]:
    """The (height, width) in which films of these shapes are worked on: multiples of 32.

    Where one of the two is given it stays, and the other follows from the films' median shape.
    """
    aspects = sorted(shape[1] / shape[0] for shape in shapes)
    aspect = aspects[len(aspects) // 2]
    if height is not None:
        return height, width or multiple_of_32(height * aspect)
    if width is not None:
        return multiple_of_32(width / aspect), width
    heights = sorted(shape[0] for shape in shapes)
    tall = min(float(heights[len(heights) // 2]), math.sqrt(max_pixels / aspect))
    return multiple_of_32(tall), multiple_of_32(tall * aspect)


def _levels(height: int, width: int) -> int:
    """Halvings until about eight pixels are left of the mean side, at least four of each."""
    mean_side = 1 + round(math.log2(math.sqrt(height * width) / 8))
    shorter_side = 1 + int(math.log2(min(height, width) / 4))
    return max(2, min(6, mean_side, shorter_side))


def read_toml(path: Path) -> dict[str, Any]:
    """The settings in a TOML file, as plain data. Raises RecipeError."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise RecipeError(f"{path}: over {LARGEST_FILE // 1000} kB, too large for settings")
        return tomllib.loads(data.decode("utf-8-sig"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, an integer without end
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise RecipeError(f"{path}: not TOML ({reason}); see `boneseg recipes default`") from None


def parse(data: dict[str, Any], where: str) -> Recipe:
    """A recipe from plain data; every unknown key is named with the nearest known one."""
    version = data.get("version", RECIPE_VERSION)
    if isinstance(version, int) and version > RECIPE_VERSION:
        raise RecipeError(
            f"{where}: recipe version {version} is newer than {RECIPE_VERSION}; update boneseg"
        )
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in first["loc"])[:LONGEST_KEY]
        if first["type"] == "extra_forbidden":
            raise RecipeError(f"{where}: {_unknown(key, first['input'])}") from None
        if key in _sections() and not isinstance(first["input"], dict):
            raise RecipeError(f"{where}: {_a_section(key)}") from None
        reason = first["msg"].removeprefix("Value error, ").lower()
        raise RecipeError(f"{where}: {key or 'recipe'}: {reason}") from None
    except RecursionError:
        raise RecipeError(f"{where}: nested too deeply; see `boneseg recipes default`") from None


def keys() -> list[str]:
    """Every setting as ``section.key``."""
    return [f"{name}.{key}" for name, kind in _sections().items() for key in kind.model_fields]


def _sections() -> dict[str, type[_Section]]:
    fields = Recipe.model_fields.items()
    return {
        name: field.annotation
        for name, field in fields
        if isinstance(field.annotation, type) and issubclass(field.annotation, _Section)
    }


def _unknown(key: str, value: Any) -> str:
    if isinstance(value, dict):
        return f"unknown section {key!r}{nearest(key, list(_sections()))}"
    return f"unknown setting {key!r}{nearest(key, keys())}"


def _a_section(name: str) -> str:
    first = next(iter(_sections()[name].model_fields))
    return f"{name} is a section, not a setting; give its settings, as {name}.{first}"


def _assign(data: dict[str, Any], key: str, value: Any, where: str) -> None:
    if key in _sections():
        raise RecipeError(f"{where}: {_a_section(key)}")
    if key not in keys():
        raise RecipeError(f"{where}: unknown setting {key!r}{nearest(key, keys())}")
    section, name = key.split(".")
    data[section][name] = value


def nearest(word: str, known: list[str]) -> str:
    """', did you mean …' or nothing; a bare key is also sought without its section."""
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if not found:
        bare = {name.rpartition(".")[2]: name for name in reversed(known)}
        last = word.rpartition(".")[2]
        found = [bare[match] for match in difflib.get_close_matches(last, bare, n=1, cutoff=0.6)]
    return f", did you mean {found[0]!r}?" if found else ""


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _toml_value(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    return json.dumps(value)
