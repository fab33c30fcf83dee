"""The card of a model, model.json: what it is, how it was trained, and the digests of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version

from pydantic import BaseModel, ConfigDict, Field, field_validator

from boneseg.masks.segmentation import Model
from boneseg.recipes.network import SettledNetwork

FORMAT = 1
MOST_MEMBERS = 1000
WEIGHTS, ONNX, CARD = "weights.safetensors", "model.onnx", "model.json"
INT8, INT8_WEIGHTS = "int8.xml", "int8.bin"


class CardData(BaseModel):
    """The films of a model: a single run has training and validation, an ensemble films and folds.

    seen: digests (`dataset.fingerprint.digest`) of all films that it was trained or selected on;
    empty where they are not recorded.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    fingerprint: str = ""  # `dataset.load.fingerprint` of the films
    training: int | None = None
    validation: int | None = None
    films: int | None = None
    folds: int | None = None
    seen: tuple[str, ...] = ()

    @field_validator("seen", mode="before")
    @classmethod
    def _strings(cls, value: object) -> object:
        """A record that is not a list of digests counts as none: no film can be among them."""
        several = value if isinstance(value, list | tuple) else ()
        return tuple(one for one in several if isinstance(one, str))


class Card(BaseModel):
    """The content of model.json. Fields that a newer boneseg adds are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = FORMAT  # version of this file
    architecture: SettledNetwork  # settings of the network
    height: int = Field(ge=1)  # of the working grid, px
    width: int = Field(ge=1)  # likewise
    fitted: bool = False  # whether the grid takes the film's shape, with as many pixels
    threshold: float = Field(ge=0, le=1)  # a probability at or above it is bone
    members: int = Field(1, ge=1, le=MOST_MEMBERS)  # networks of this architecture, one per fold
    flips: bool = False  # test-time augmentation with the mirrored film
    levels: bool = False  # with contrast normalisation of the mirrored film
    temperature: float = Field(1.0, gt=0)  # logits are divided by it: Guo et al., 2017
    metrics: dict[str, float]  # on the validation films, on their own grids
    restarts: int  # how often training collapsed and restarted
    data: CardData = CardData()  # the films it was trained on
    recipe: dict[str, object]  # as JSON, of whichever version
    versions: dict[str, str]  # of Python and the libraries
    licence: str = "as its training data allow"  # of the weights
    files: dict[str, str] = {}  # name: SHA-256
    card_sha256: str = ""  # of this card, except this field

    @property
    def model(self) -> Model:
        """The model as named in outputs."""
        return Model(self.card_sha256, self.threshold)


def card_digest(facts: Mapping[str, object]) -> str:
    """The digest of the fields in the file, so that cards without newer fields keep theirs."""
    signed = {name: value for name, value in facts.items() if name != "card_sha256"}
    return hashlib.sha256(json.dumps(signed, sort_keys=True).encode()).hexdigest()


def library_versions() -> dict[str, str]:
    """The versions of the libraries that a model is trained with."""
    return {name: version(name) for name in ("boneseg", "torch", "numpy", "pillow")}
