"""Every setting of a training run, typed and described.

A recipe is plain data, written as TOML with one table per section::

    [network]
    width = 32

    [loss]
    dice = 1.0
    focal = 1.0

Settings that are ``None`` (in TOML: left out) are derived from the films by `Recipe.settle`, which
returns a `SettledRecipe`: only that describes a network that can be built and trained.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Self

from pydantic import Field, ValidationError

from boneseg._util.invalid_value import advice, quoted
from boneseg._util.text import counted, nearest
from boneseg.errors import RecipeError
from boneseg.preprocessing import multiple_of_32
from boneseg.recipes.network import NetworkSettings, Section, SettledNetwork
from boneseg.recipes.settings import (
    LARGEST_SIDE,
    AugmentSettings,
    LossSettings,
    OptimiserSettings,
    PrepareSettings,
    RunSettings,
    SettledPrepare,
    SettledRun,
)
from boneseg.recipes.toml import read_value, written_line

RECIPE_VERSION = 1
LONGEST_KEY = 100  # characters of a key quoted in a message
STEM_2_PIXELS = 32_768  # pixels of a working grid from which the default stem is 2


class Recipe(Section):
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

    def settle(self, shapes: Sequence[tuple[int, int]]) -> SettledRecipe:
        """Derive the unset settings from the (height, width) of the films.

        The working size has the films' median aspect ratio and at most their median size and
        `prepare.max_pixels`, before rounding to multiples of 32. The stem is 2 where the grid is
        large enough; levels are added until a side has about eight pixels. A step has about as
        many pixels as four films of 256 x 256. Raises RecipeError where the result contradicts a
        setting or cannot be trained.
        """
        height, width = self.prepare.height, self.prepare.width
        if height is None or width is None:
            fitted = working_size(shapes, self.prepare.max_pixels, height, width)
            height, width = (min(side, LARGEST_SIDE) for side in fitted)
        batch = self.run.batch or min(8, max(2, round(4 * 65536 / (height * width))))
        settled = SettledRecipe(
            version=self.version,
            summary=self.summary,
            prepare=SettledPrepare(height=height, width=width, max_pixels=self.prepare.max_pixels),
            network=_settled_network(self.network, height, width),
            augment=self.augment,
            loss=self.loss,
            optimiser=self.optimiser,
            run=SettledRun.model_validate(self.run.model_dump() | {"batch": batch}),
        )
        settled.check_normalisation(batch)
        return settled

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
            section, name = _section_and_name(key, f"--set {key}")
            data[section][name] = read_value(text.strip())
            if key == "run.epochs":
                data["run"].pop("minutes", None)
        return parse(data, "--set")

    def without_summary(self) -> Self:
        """Return this recipe without its summary, which has no effect on training."""
        return self.model_copy(update={"summary": ""})

    def to_toml(self, comments: Mapping[str, str] | None = None) -> str:
        """Return the whole recipe as TOML, with a comment for each setting.

        comments: by "section.key", instead of the settings' own descriptions.
        """
        lines = [
            f"# {' '.join(self.summary.split())}",
            f"version = {self.version}",
            f"summary = {json.dumps(self.summary, ensure_ascii=False)}",
        ]
        for name, section in _sections().items():
            settings: Section = getattr(self, name)
            lines += ["", f"[{name}]"]
            described = {
                key: field.description or "" for key, field in section.model_fields.items()
            }
            added = settings.__pydantic_extra__ or {}
            described |= dict.fromkeys(added, "of a registered loss")
            described |= {
                setting.partition(".")[2]: comment
                for setting, comment in (comments or {}).items()
                if setting.startswith(f"{name}.")
            }
            for key, comment in described.items():
                lines.append(written_line(key, getattr(settings, key, None), comment))
        return "\n".join(lines) + "\n"


class SettledRecipe(Recipe):
    """A recipe in which every setting that depends on the films is decided.

    Networks, training and bundles take only this one. To settle it again changes nothing.
    """

    prepare: SettledPrepare
    network: SettledNetwork
    run: SettledRun

    def check_normalisation(self, batch: int) -> None:
        """Raise RecipeError where the network would normalise a single value (always 0).

        batch: films per step, fewer than `run.batch` where there are fewer films.
        """
        norm, levels = self.network.norm, self.network.levels
        height, width = self.prepare.height, self.prepare.width
        stride = self.network.stem * 2 ** (levels - 1)
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


def _settled_network(network: NetworkSettings, height: int, width: int) -> SettledNetwork:
    """Decide stem, levels and widths for a working size."""
    stem = network.stem or (2 if height * width >= STEM_2_PIXELS else 1)
    levels = network.levels
    if network.widths is not None:
        levels = len(network.widths)
    elif levels is None:
        levels = _levels(height // stem, width // stem)
    widths = network.widths or tuple(
        min(network.width * 2**level, network.max_width) for level in range(levels)
    )
    if network.depth is not None and network.depth >= levels:
        raise RecipeError(
            f"network.depth {network.depth}: {counted(levels, 'level')} "
            f"allow at most depth {levels - 1}"
        )
    decided = {"stem": stem, "levels": levels, "widths": widths}
    return SettledNetwork.model_validate(network.model_dump() | decided)


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


def parse(data: dict[str, object], where: str) -> Recipe:
    """Validate plain data as a recipe. Raises RecipeError that suggests the nearest known key."""
    version = data.get("version", RECIPE_VERSION)
    if isinstance(version, int) and version > RECIPE_VERSION:
        raise RecipeError(
            f"{where}: recipe version {version} is newer than {RECIPE_VERSION}; update boneseg"
        )
    try:
        return Recipe.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])[:LONGEST_KEY]
        if first["type"] == "extra_forbidden":
            raise RecipeError(f"{where}: {_unknown_key(key, first['input'])}") from None
        if key in _sections() and not isinstance(first["input"], dict):
            raise RecipeError(f"{where}: {_section_advice(key)}") from None
        value = quoted(first["input"])
        assigned = key or "recipe" if value is None else f"{key} = {value}"
        raise RecipeError(f"{where}: {assigned}: {advice(first)}") from None
    except RecursionError:
        raise RecipeError(f"{where}: nested too deeply; see `boneseg recipes default`") from None


def keys() -> list[str]:
    """Return every setting as ``section.key``."""
    return [f"{name}.{key}" for name, kind in _sections().items() for key in kind.model_fields]


def is_setting(key: str) -> bool:
    """Whether ``section.key`` is a setting, or may be one: sections such as `loss` are open."""
    section, _, name = key.partition(".")
    kind = _sections().get(section)
    open_section = kind is not None and kind.model_config.get("extra") == "allow"
    return key in keys() or (open_section and name.isidentifier())


def _sections() -> dict[str, type[Section]]:
    fields = Recipe.model_fields.items()
    return {
        name: field.annotation
        for name, field in fields
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    }


def _unknown_key(key: str, value: object) -> str:
    if isinstance(value, dict):
        return f"unknown section {key!r}{nearest(key, list(_sections()))}"
    return f"unknown setting {key!r}{nearest(key, keys())}"


def _section_advice(name: str) -> str:
    first = next(iter(_sections()[name].model_fields))
    return f"{name} is a section, not a setting; set its keys, such as {name}.{first}"


def _section_and_name(key: str, where: str) -> tuple[str, str]:
    """Section and name of a setting. Raises RecipeError for an unknown one."""
    if key in _sections():
        raise RecipeError(f"{where}: {_section_advice(key)}")
    if not is_setting(key):
        raise RecipeError(f"{where}: unknown setting {key!r}{nearest(key, keys())}")
    section, _, name = key.partition(".")
    return section, name
