"""The card of a model, model.json: what it is, how it was trained, and the digests of its files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from boneseg._util.json_fields import from_json

if TYPE_CHECKING:
    from boneseg.masks.segmentation import Model
    from boneseg.recipes.network import SettledNetwork

FORMAT = 3  # the newest that is read: with outlines; 2 with names of bones, else 1
MOST_MEMBERS = 1000
MOST_SCALE = 4.0  # of a further grid
MOST_REACH = 48  # px of a grid, from an outline
MOST_BIAS = 100.0  # of logits
MOST_GRID = 2**16  # px, each side of the working grid
MOST_SIDE = 1024  # px, of the grid on which bones are named
MOST_WIDTH, MOST_LEVELS = 2048, 10  # of further networks: channels, and levels
WEIGHTS, ONNX, CARD = "weights.safetensors", "model.onnx", "model.json"
INT8, INT8_WEIGHTS = "int8.xml", "int8.bin"
NAMES_ONNX, NAMES_WEIGHTS = "names.onnx", "names.safetensors"
OUTLINE_ONNX, OUTLINE_WEIGHTS = "outline.onnx", "outline.safetensors"

_BONE = re.compile(r"[a-z][a-z0-9-]*( [a-z0-9-]+)*")  # also the name of a file


@dataclass(frozen=True)
class CardData:
    """The films of a model: a single run has training and validation, an ensemble films and folds.

    seen: digests (`dataset.fingerprint.digest`) of all films that it was trained or selected on;
    empty where they are not recorded.
    """

    fingerprint: str = ""  # `dataset.load.fingerprint` of the films
    training: int | None = None
    validation: int | None = None
    films: int | None = None
    folds: int | None = None
    seen: tuple[str, ...] = ()


@dataclass(frozen=True)
class CardBones:
    """The network of a bundle that names bones: see `bundle/further.py`.

    names: of the bones, in the order of its output channels. parts: of the body, in the order of
    its input channels after film and probability. widths: channels of its levels, finest first.
    height, width: of its grid, px. metrics: by the name of the metric, for information.
    """

    names: tuple[str, ...]
    parts: tuple[str, ...]
    widths: tuple[int, ...]
    height: int
    width: int
    metrics: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError for a name that is invalid or not unique, or such widths or grid."""
        valid = all(map(_BONE.fullmatch, self.names)) and len(set(self.names)) == len(self.names)
        grid = min(self.height, self.width) >= 1 and max(self.height, self.width) <= MOST_SIDE
        if not (self.names and valid and _possible(self.widths) and grid):
            raise ValueError("a name of a bone is invalid, or a size of their network")


@dataclass(frozen=True)
class CardOutline:
    """The network of a bundle that finds outlines on a finer grid: see `bundle/further.py`.

    scale: of that grid, to the working grid. widths: channels of its levels, finest first. biases:
    what is added to its logits, by body part. reaches: px from the outline as far as it counts, by
    body part, where that is not `inference.outline.REACH`.
    """

    scale: float
    widths: tuple[int, ...]
    biases: dict[str, float] = field(default_factory=dict)
    reaches: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError for such a scale, widths, bias or reach."""
        valid = all(1 <= reach <= MOST_REACH for reach in self.reaches.values())
        valid = valid and _finite(self.biases)
        if not (1 <= self.scale <= MOST_SCALE and _possible(self.widths) and valid):
            raise ValueError("a value of outlines is out of range, or a size of their network")


def _finite(biases: Mapping[str, float]) -> bool:
    """Whether these can be added to logits."""
    return all(abs(bias) <= MOST_BIAS for bias in biases.values())


def _possible(widths: tuple[int, ...]) -> bool:
    """Whether a network can have these channels of its levels."""
    return 1 <= len(widths) <= MOST_LEVELS and all(1 <= one <= MOST_WIDTH for one in widths)


@dataclass(frozen=True, kw_only=True)
class Card:
    """The content of model.json. Fields that a newer boneseg adds are ignored."""

    format: int = 1  # version of this file
    architecture: dict[str, object]  # settings of the network, as JSON
    height: int  # of the working grid, px
    width: int  # likewise
    fitted: bool = False  # whether the grid takes the film's shape, with as many pixels
    scales: tuple[float, ...] = ()  # of further grids, to the working grid: `Bundle.further`
    thin: float = 0.0  # px of the working grid: narrower bone needs finer grids, other coarser ones
    threshold: float  # a probability at or above it is bone
    members: int = 1  # networks of this architecture, one per fold
    flips: bool = False  # test-time augmentation with the mirrored film
    levels: bool = False  # with contrast normalisation of the mirrored film
    temperature: float = 1.0  # logits are divided by it: Guo et al., 2017
    biases: dict[str, float] = field(default_factory=dict)  # then added to them, by body part
    metrics: dict[str, float]  # on the validation films, on their own grids
    restarts: int  # how often training collapsed and restarted
    data: CardData = CardData()  # the films it was trained on
    recipe: dict[str, object]  # as JSON, of whichever version
    versions: dict[str, str]  # of Python and the libraries
    licence: str = "as its training data allow"  # of the weights
    bones: CardBones | None = None  # the network that names bones, if there is one
    outlines: CardOutline | None = None  # the network that finds outlines, likewise
    made: str = ""  # ISO 8601 date, of models that are published: a training is the same every day
    files: dict[str, str] = field(default_factory=dict)  # name: SHA-256
    card_sha256: str = ""  # of this card, except this field

    def __post_init__(self) -> None:
        """Raise ValueError for a value out of range."""
        grid = 1 <= self.height <= MOST_GRID and 1 <= self.width <= MOST_GRID
        grid = grid and all(1 / MOST_SCALE <= scale <= MOST_SCALE for scale in self.scales)
        grid = grid and 0 <= self.thin <= MOST_GRID
        members = 1 <= self.members <= MOST_MEMBERS
        grid = grid and (self.fitted or self.outlines is None) and _finite(self.biases)
        if not (grid and members and 0 <= self.threshold <= 1 and self.temperature > 0):
            raise ValueError("a value is out of range")

    @classmethod
    def of(cls, content: object) -> Card:
        """The card of a JSON document. Raises ValueError where a field is missing or invalid."""
        data = content.get("data") if isinstance(content, dict) else None
        if isinstance(content, dict) and isinstance(data, dict):
            content = content | {"data": data | {"seen": _digests(data.get("seen"))}}
        return from_json(cls, content)

    @property
    def least_format(self) -> int:
        """The oldest format that has all of this."""
        return 3 if self.outlines else 2 if self.bones else 1

    @property
    def model(self) -> Model:
        """The model as named in outputs."""
        from boneseg.masks.segmentation import Model  # after the first network is loaded

        return Model(self.card_sha256, self.threshold)

    @property
    def network(self) -> SettledNetwork:
        """The settings of the network. Raises ValueError where they are invalid."""
        from boneseg.recipes.network import SettledNetwork  # pydantic: only training needs it

        return SettledNetwork.model_validate(self.architecture)


def _digests(value: object) -> list[str]:
    """A record that is not a list of digests counts as none: no film can be among them."""
    several = value if isinstance(value, list) else []
    return [one for one in several if isinstance(one, str)]


def card_digest(facts: Mapping[str, object]) -> str:
    """The digest of the fields in the file, so that cards without newer fields keep theirs."""
    signed = {name: value for name, value in facts.items() if name != "card_sha256"}
    return hashlib.sha256(json.dumps(signed, sort_keys=True).encode()).hexdigest()


def library_versions() -> dict[str, str]:
    """The versions of the libraries that a model is trained with."""
    from importlib.metadata import version

    return {name: version(name) for name in ("boneseg", "torch", "numpy", "pillow")}
