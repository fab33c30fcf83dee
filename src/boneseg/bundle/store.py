"""Save, verify and load a trained model on disk.

    RUN/bundle/model.json            model card: architecture, preprocessing, metrics
    RUN/bundle/weights.safetensors   float32
    RUN/bundle/model.onnx            "film" N x 1 x H x W to "probability" N x members x H x W;
                                     identical weights are referenced in weights.safetensors
    RUN/bundle/int8.xml, int8.bin    the same in 8-bit integers for OpenVINO (optional)

Nothing is ever unpickled, and the SHA-256 of each file is verified before use.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from boneseg._util.files import folder_beside, open_regular, read_bytes, read_json, replace_folder
from boneseg.errors import BundleError, TrainingError, UsageError
from boneseg.masks.segmentation import Model
from boneseg.preprocessing import Preparation, fitted
from boneseg.recipes.recipe import Recipe
from boneseg.recipes.settings import SettledNetwork

if TYPE_CHECKING:
    from torch import nn

FORMAT = 1
MOST_MEMBERS = 1000
WEIGHTS, ONNX, CARD = "weights.safetensors", "model.onnx", "model.json"
INT8, INT8_WEIGHTS = "int8.xml", "int8.bin"
SEEN = "seen"  # in `Card.data`: digests (`dataset.fingerprint.digest`) of films seen in training


class Card(BaseModel):
    """The content of model.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    architecture: SettledNetwork
    height: int = Field(ge=1)  # of the working grid, px
    width: int = Field(ge=1)
    fitted: bool = False  # whether the grid takes the film's shape, with as many pixels
    threshold: float = Field(ge=0, le=1)  # a probability at or above it is bone
    members: int = Field(1, ge=1, le=MOST_MEMBERS)  # networks of this architecture, one per fold
    flips: bool = False  # test-time augmentation with the mirrored film
    levels: bool = False  # with contrast normalisation of the mirrored film
    temperature: float = Field(1.0, gt=0)  # logits are divided by it: Guo et al., 2017
    metrics: dict[str, float]  # on the validation films, on their own grids
    restarts: int  # how often training collapsed and restarted
    data: dict[str, Any]  # fingerprint and number of films
    recipe: dict[str, Any]
    versions: dict[str, str]
    licence: str = "as its training data allow"
    files: dict[str, str] = {}  # name: SHA-256
    card_sha256: str = ""  # of this card, except this field

    @property
    def model(self) -> Model:
        """The model as named in outputs."""
        return Model(self.card_sha256, self.threshold)


@dataclass(frozen=True)
class Bundle:
    """A verified model on disk."""

    path: Path
    card: Card

    def preparation(self, film: tuple[int, int]) -> Preparation:
        """The preparation for a film of (height, width) square pixels."""
        if self.card.fitted:
            return fitted(film, self.card.height * self.card.width)
        return Preparation(self.card.height, self.card.width)


def seen_by(bundle: Bundle | None) -> frozenset[str]:
    """Digests of the films used to train or select a model; empty if not recorded."""
    known = bundle.card.data.get(SEEN) if bundle is not None else None
    return frozenset(map(str, known)) if isinstance(known, list) else frozenset()


def bundled() -> Path:
    """The path of the bundled model."""
    return Path(__file__).parents[1] / "models" / "bones"


def sample_films() -> Path:
    """The path of the bundled sample films, which are simulated."""
    return Path(__file__).parents[1] / "models" / "samples"


def save_bundle(path: Path, network: nn.Module, card: Card, *, half: bool = False) -> Bundle:
    """Write a bundle beside `path` and move it into place; with `half`, in float16.

    Raises OutputError.
    """
    from boneseg.bundle.tensors import save_tensors

    with folder_beside(path) as building:
        network = copy.deepcopy(network).half() if half else network
        weights = {name: value.contiguous() for name, value in network.state_dict().items()}
        save_tensors(weights, building / WEIGHTS)
        _export(network, building / ONNX, card)
        _share_weights(building)
        card = sign(building, card)
        replace_folder(path, building)
    return Bundle(path, card)


def sign(folder: Path, card: Card) -> Card:
    """Write the card of a bundle, with the SHA-256 of every other file and its own."""
    sums = {file.name: _sha256(file) for file in sorted(folder.iterdir()) if file.name != CARD}
    card = card.model_copy(update={"files": sums})
    digest = _card_digest(card.model_dump(mode="json"))
    card = card.model_copy(update={"card_sha256": digest})
    text = json.dumps(card.model_dump(mode="json"), indent=2)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")
    return card


def load_bundle(path: Path | str) -> Bundle:
    """Read and verify a bundle, the bundle of a run, or "bundled". Raises BundleError."""
    path = Path(path)
    path = bundled() if str(path) == "bundled" and not path.exists() else path
    folder = path / "bundle" if (path / "bundle" / CARD).is_file() else path
    card_path = folder / CARD
    try:
        data = read_json(read_bytes(card_path))
        if isinstance(data, dict) and data.get("format", 0) > FORMAT:
            raise BundleError(f"{card_path}: written by a newer boneseg; update boneseg")
        card = Card.model_validate(data)
        digest = _card_digest(data)
    except OSError:
        raise BundleError(
            f"{folder}: is not a bundle ({CARD} is missing); check the path"
        ) from None
    except (ValueError, TypeError, RecursionError):  # pydantic's ValidationError is a ValueError
        raise BundleError(f"{card_path}: is damaged; copy the bundle again") from None
    if set(card.files) not in ({WEIGHTS, ONNX}, {WEIGHTS, ONNX, INT8, INT8_WEIGHTS}):
        raise BundleError(f"{card_path}: has no valid checksums; copy the bundle again")
    if card.card_sha256 != digest:
        raise BundleError(f"{card_path}: has changed since it was saved; copy the bundle again")
    for name, digest in card.files.items():
        try:
            found = _sha256(folder / name)
        except FileNotFoundError:
            raise BundleError(f"{folder / name}: is missing; copy the bundle again") from None
        except OSError as error:
            reason = f"cannot be read ({error.strerror})"
            raise BundleError(f"{folder / name}: {reason}; copy the bundle again") from None
        if found != digest:
            raise BundleError(f"{folder / name}: has changed since it was saved; copy it again")
    return Bundle(folder, card)


def starting_from(recipe: Recipe, init: Bundle | None) -> Recipe:
    """The recipe with the network of the warm-start bundle, cut to the recipe's depth, if set.

    Raises TrainingError for an ensemble, RecipeError for a network that cannot be cut.
    """
    if init is None:
        return recipe
    if init.card.members > 1:
        raise TrainingError(f"{init.path}: is an ensemble; start from one of its folds")
    depth = recipe.network.depth
    started = recipe.model_copy(update={"network": init.card.architecture})
    return started if depth is None else started.with_settings([f"network.depth={depth}"])


def refuse_other_network(recipe: Recipe, settings: Sequence[str], init: Bundle | None) -> None:
    """Reject explicit `settings` (as set in `recipe`) that contradict the network of init.

    Network settings of the recipe itself are overridden silently. Raises UsageError.
    """
    for key in (setting.partition("=")[0].strip() for setting in settings):
        section, _, name = key.partition(".")
        if init is not None and section == "network" and name != "depth":
            ours = getattr(init.card.architecture, name)
            if getattr(recipe.network, name) != ours:
                reason = f"the --init model has {'none' if ours is None else ours}"
                raise UsageError(f"--set {key}: {reason}, and its network is used; leave --set out")


def load_network(bundle: Bundle) -> nn.Module:
    """The network in PyTorch, in evaluation mode. Raises BundleError."""
    from safetensors.torch import load_file

    from boneseg.networks import Ensemble, build

    try:
        members = [build(bundle.card.architecture) for _ in range(bundle.card.members)]
        network = Ensemble(members) if len(members) > 1 else members[0]
        network.load_state_dict(load_file(bundle.path / WEIGHTS))
    except Exception:  # not safetensors, or names or shapes that differ from the card
        problem = f"its weights do not fit its {CARD}"
        raise BundleError(f"{bundle.path}: {problem}; copy the bundle again") from None
    return network.eval()


def library_versions() -> dict[str, str]:
    """The versions of the libraries that a model is trained with."""
    return {name: version(name) for name in ("boneseg", "torch", "numpy", "pillow")}


def _export(network: nn.Module, path: Path, card: Card) -> None:
    import logging
    import warnings

    import torch

    # The exporter warns that torchvision, which is not needed, is not installed.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)

    class Probability(torch.nn.Module):
        def forward(self, film: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = network(film.to(kind))
            return logits.float().sigmoid()

    wrapped, kind = Probability(), next(network.parameters()).dtype
    wrapped.network = network
    example = torch.zeros(2, 1, card.height, card.width)
    free: dict[int, Any] = {0: torch.export.Dim.DYNAMIC}
    if card.fitted:  # working sizes are multiples of 32, and so the network never pads
        free |= {
            2: 32 * torch.export.Dim("rows", min=1),
            3: 32 * torch.export.Dim("columns", min=1),
        }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            wrapped.eval(),
            (example,),
            path,
            input_names=["film"],
            output_names=["probability"],
            dynamic_shapes={"film": free},
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _share_weights(folder: Path) -> None:
    """Replace weights in the ONNX file by references to identical bytes in weights.safetensors.

    Weights that the export has changed (batch norms folded into convolutions) stay in it.
    """
    import onnx

    model, file = onnx.load(folder / ONNX), (folder / WEIGHTS).read_bytes()
    start = 8 + int.from_bytes(file[:8], "little")  # https://github.com/huggingface/safetensors
    table = json.loads(file[8:start])
    for tensor in model.graph.initializer:
        entry = table.get(tensor.name.removeprefix("network."), {"data_offsets": (0, 0)})
        first, last = entry["data_offsets"]
        if last > first and file[start + first : start + last] == tensor.raw_data:
            onnx.external_data_helper.set_external_data(
                tensor, WEIGHTS, offset=start + first, length=last - first
            )
            tensor.ClearField("raw_data")
    (folder / ONNX).write_bytes(model.SerializeToString())


def _card_digest(facts: dict[str, Any]) -> str:
    """The digest of the fields in the file, so that cards without newer fields keep theirs."""
    told = {name: value for name, value in facts.items() if name != "card_sha256"}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
