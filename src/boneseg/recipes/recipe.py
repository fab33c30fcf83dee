"""Every setting of a training run, typed and described.

A recipe is plain data, written as TOML with one table per section::

    [network]
    width = 32

    [loss]
    dice = 1.0
    focal = 1.0

Settings that are ``None`` (in TOML: left out) are derived from the films by `Recipe.settle`.
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

from boneseg._util.files import open_regular
from boneseg._util.text import counted
from boneseg.errors import RecipeError
from boneseg.preprocessing import multiple_of_32

RECIPE_VERSION = 1
LARGEST_FILE = 50_000  # bytes, ten times the longest recipe
LONGEST_KEY = 100  # characters of a key quoted in a message
FINE = 32_768  # pixels of a working grid from which the default stem is 2


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PrepareSettings(_Section):
    """How a film becomes the network's input."""

    height: int | None = Field(
        None, ge=32, le=4096, description="working height, px (if unset: from the films)"
    )
    width: int | None = Field(
        None, ge=32, le=4096, description="working width, px (if unset: from the films)"
    )
    max_pixels: int = Field(
        131_072, ge=1024, description="maximum working height x width if derived from the films"
    )


class NetworkSettings(_Section):
    """The U-Net."""

    architecture: Literal["unet", "unetplusplus"] = Field("unet", description="network family")
    inputs: Literal["film", "copies", "filters"] = Field(
        "film", description="film; copies: three times; filters: film, blurred film and edges"
    )
    attention: bool = Field(False, description="unet: attention gates on the skip connections")
    block: Literal["plain", "residual", "separable"] = Field(
        "plain", description="two convolutions; residual; depthwise separable"
    )
    norm: Literal["batch", "instance", "none"] = Field("batch", description="normalisation layer")
    width: int = Field(16, ge=1, le=512, description="channels at the first level")
    max_width: int = Field(
        256, ge=1, le=2048, description="maximum channels; they double at each level"
    )
    stem: int | None = Field(
        None,
        ge=1,
        le=8,
        description="side of patches folded into channels, px (if unset: from the films)",
    )
    levels: int | None = Field(
        None, ge=1, le=10, description="resolution levels (if unset: from the films)"
    )
    widths: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(
        None,
        min_length=1,
        max_length=10,
        description="channels at each level; overrides width and levels",
    )
    deep_supervision: bool = Field(True, description="compute the loss at every decoder level")
    depth: int | None = Field(
        None, ge=1, le=9, description="unetplusplus: prune to this depth after training"
    )

    @model_validator(mode="after")
    def _of_one_family(self) -> Self:
        if self.attention and self.architecture != "unet":
            raise ValueError("attention requires architecture unet; change one of the two")
        nested = self.architecture == "unetplusplus" and self.deep_supervision
        if self.depth is not None and not nested:
            raise ValueError("depth requires architecture unetplusplus with deep_supervision")
        return self


class AugmentSettings(_Section):
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
        0, ge=0, le=100, description="fixed augmented copies per film; 0: augment anew at each step"
    )

    def off(self) -> Self:
        """Return these settings with every probability at zero."""
        strengths = {"rotation", "zoom", "shift", "elastic_size", "views"}
        names = set(type(self).model_fields) - strengths
        return self.model_copy(update=dict.fromkeys(names, 0.0))


class LossSettings(_Section):
    """A weighted sum of losses."""

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
        if self.dice + self.bce + self.focal <= 0:
            raise ValueError("at least one of dice, bce and focal must be above 0")
        return self


class OptimiserSettings(_Section):
    """The optimiser and its schedule."""

    name: Literal["adamw", "adam", "sgd"] = Field("adamw", description="SGD has Nesterov momentum")
    learning_rate: float = Field(3e-3, gt=0, le=10, description="peak learning rate")
    weight_decay: float = Field(1e-2, ge=0, description="AdamW: decoupled; SGD: L2; Adam: ignored")
    momentum: float = Field(0.9, ge=0, lt=1, description="SGD only; 0 is plain SGD")
    schedule: Literal["cosine", "poly", "plateau", "constant"] = Field(
        "cosine", description="cosine, poly (power 0.9), plateau or constant learning rate"
    )
    warmup: float = Field(
        0.03, ge=0, lt=1, description="fraction of the run with a rising learning rate"
    )
    plateau_factor: float = Field(0.9, gt=0, lt=1, description="plateau: learning-rate factor")
    plateau_patience: int = Field(
        8, ge=1, description="plateau: epochs without improvement (with minutes: validation checks)"
    )
    clip: float = Field(5.0, ge=0, description="maximum gradient norm; 0: no clipping")


class RunSettings(_Section):
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
    guard: bool = Field(True, description="restart a collapsed run")
    seed: int = Field(
        0, ge=0, lt=2**31, description="random seed of weights, film order and augmentation"
    )
    balance: float = Field(
        0.0, ge=0, le=1, description="balance of body parts: 0 as in the data, 1 all equally often"
    )


class Recipe(_Section):
    """Every setting of a training run.

    >>> default = Recipe()
    >>> default.network.width
    16
    """

    version: int = Field(RECIPE_VERSION, description="version of the recipe format")
    summary: str = Field(
        "the balanced default, sized for training on a CPU", description="one-line summary"
    )
    prepare: PrepareSettings = PrepareSettings()
    network: NetworkSettings = NetworkSettings()
    augment: AugmentSettings = AugmentSettings()
    loss: LossSettings = LossSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    run: RunSettings = RunSettings()

    def settle(self, shapes: Sequence[tuple[int, int]]) -> Recipe:
        """Derive the unset settings from the (height, width) of the films.

        The working size has the films' median aspect ratio and at most their median size and
        `prepare.max_pixels`, before rounding to multiples of 32. The stem is 2 where the grid is
        large enough; levels are added until a side has about eight pixels. A step has about as
        many pixels as four films of 256 x 256. Raises RecipeError where the result contradicts a
        setting or cannot be trained.
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
                f"allow at most depth {levels - 1}"
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
        """Raise RecipeError where a settled recipe would normalise a single value (always 0).

        batch: films per step, fewer than `run.batch` where there are fewer films.
        """
        norm, levels, stem = self.network.norm, self.network.levels or 1, self.network.stem or 1
        height, width = self.prepare.height or 1, self.prepare.width or 1
        stride = stem * 2 ** (levels - 1)
        bottom = [math.ceil(side / stride) for side in (height, width)]
        if bottom != [1, 1] or norm == "none" or (norm == "batch" and batch > 1):
            return
        films = "" if norm == "instance" else " with 1 film per step"
        advice = (
            "fewer levels, a larger grid, or norm = none"
            if norm == "instance"
            else "more films, or fewer levels"
        )
        raise RecipeError(
            f"network.norm {norm}: {levels} levels reduce {height} x {width} to 1 pixel{films}, "
            f"and a single value cannot be normalised; use {advice}"
        )

    def with_settings(self, assignments: Sequence[str]) -> Recipe:
        """Return this recipe with ``section.key=value`` assignments, each value TOML or plain text.

        Setting `run.epochs` clears `run.minutes`, which would otherwise take precedence.
        Raises RecipeError.
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
        """Return the whole recipe as TOML, with a comment for each setting."""
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
                lines.append(f"{text:<28} # {field.description}")
        return "\n".join(lines) + "\n"


def working_size(
    shapes: Sequence[tuple[int, int]],
    max_pixels: int,
    height: int | None = None,
    width: int | None = None,
) -> tuple[int, int]:
    """Return the working (height, width), multiples of 32, for films of these (height, width).

    Where one of the two is given, the other follows from the films' median aspect ratio.
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
    """Levels that leave about eight pixels of the mean side and at least four of each side."""
    mean_side = 1 + round(math.log2(math.sqrt(height * width) / 8))
    shorter_side = 1 + int(math.log2(min(height, width) / 4))
    return max(2, min(6, mean_side, shorter_side))


def read_toml(path: Path) -> dict[str, Any]:
    """Read the settings in a TOML file as plain data. Raises RecipeError."""
    try:
        with open_regular(path) as file:
            data = file.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise RecipeError(f"{path}: over {LARGEST_FILE // 1000} kB, too large for a recipe")
        return tomllib.loads(data.decode("utf-8-sig"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (ValueError, RecursionError) as error:  # not TOML or UTF-8, or a huge integer
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise RecipeError(f"{path}: not TOML ({reason}); see `boneseg recipes default`") from None


def parse(data: dict[str, Any], where: str) -> Recipe:
    """Validate plain data as a recipe. Raises RecipeError that suggests the nearest known key."""
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
    """Return every setting as ``section.key``."""
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
    return f"{name} is a section, not a setting; set its keys, such as {name}.{first}"


def _assign(data: dict[str, Any], key: str, value: Any, where: str) -> None:
    if key in _sections():
        raise RecipeError(f"{where}: {_a_section(key)}")
    if key not in keys():
        raise RecipeError(f"{where}: unknown setting {key!r}{nearest(key, keys())}")
    section, name = key.split(".")
    data[section][name] = value


def nearest(word: str, known: list[str]) -> str:
    """Return ", did you mean …?" or ""; a key without its section is matched too."""
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
