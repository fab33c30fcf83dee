"""Save, verify and load a trained model on disk.

    RUN/bundle/model.json            model card: architecture, preprocessing, metrics
    RUN/bundle/weights.safetensors   float32
    RUN/bundle/model.onnx            "film" N x 1 x H x W to "probability" N x members x H x W;
                                     identical weights are referenced in weights.safetensors
    RUN/bundle/int8.xml, int8.bin    the same in 8-bit integers for OpenVINO (optional)
    RUN/bundle/names.*, outline.*    networks that name bones and find outlines (optional):
                                     `further.py`

Nothing is ever unpickled, and the SHA-256 of each file is verified before use: when a bundle is
loaded, or, of the one in the package, when its files are read. A network that has been compiled
before needs none of them, and to verify all is a fiftieth of a cold start.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from boneseg._util.files import (
    RUNS,
    folder_beside,
    open_regular,
    read_bytes,
    read_json,
    replace_folder,
)
from boneseg.bundle.card import (
    CARD,
    FORMAT,
    INT8,
    INT8_WEIGHTS,
    NAMES_ONNX,
    NAMES_WEIGHTS,
    ONNX,
    OUTLINE_ONNX,
    OUTLINE_WEIGHTS,
    WEIGHTS,
    Card,
    card_digest,
)
from boneseg.bundle.shipped import bundled, is_shipped
from boneseg.errors import BonesegError, BundleError, UsageError
from boneseg.preprocessing import Preparation, fitted

if TYPE_CHECKING:
    from torch import nn

Network = TypeVar("Network", bound="nn.Module")


@dataclass(frozen=True)
class Bundle:
    """A verified model on disk."""

    path: Path
    card: Card

    def verify(self) -> None:
        """Compare each file with its SHA-256. Raises BundleError."""
        for name, digest in self.card.files.items():
            _verify(self.path / name, digest)

    def preparation(self, film: tuple[int, int]) -> Preparation:
        """The preparation for a film of (height, width) square pixels."""
        if self.card.fitted:
            return fitted(film, self.card.height * self.card.width)
        return Preparation(self.card.height, self.card.width)

    def further(self, film: tuple[int, int], width: float | None = None) -> list[Preparation]:
        """The further grids of a film of (height, width) square pixels, in ascending size.

        Finer ones have no more pixels than the film: only films larger than the working grid have
        them. width: of the bone on the working grid, px, if it is known: thin bone is seen on finer
        grids only, other bone on coarser ones, where the card says what is thin.
        """
        card, first = self.card, self.preparation(film)
        if not card.fitted:
            return []
        own = card.height * card.width
        coarse = [fitted(film, round(own * scale**2)) for scale in sorted(card.scales) if scale < 1]
        fine = [
            grid for scale in sorted(card.scales) if (grid := self._finer(film, scale)) is not None
        ]
        if card.thin and width is not None and fine:
            coarse, fine = ([], fine) if width < card.thin else (coarse, [])
        return [grid for grid in (*coarse, *fine) if grid != first]

    def outline(self, film: tuple[int, int]) -> Preparation | None:
        """The grid of the pass along the outline, if there is one for a film of this size.

        film: (height, width) in square pixels. The grid has no more pixels than the film.
        """
        outline = self.card.outlines
        return self._finer(film, outline.scale) if outline and self.card.fitted else None

    def _finer(self, film: tuple[int, int], scale: float) -> Preparation | None:
        """A grid of this scale, or of as many pixels as the film; None if that is not finer."""
        own = self.card.height * self.card.width
        pixels = min(own * scale**2, film[0] * film[1])
        return fitted(film, round(pixels)) if pixels > own else None


def seen_by(bundle: Bundle | None) -> frozenset[str]:
    """Digests of the films used to train or select a model; empty if not recorded."""
    return frozenset(bundle.card.data.seen) if bundle is not None else frozenset()


def save_bundle(path: Path, network: nn.Module, card: Card, *, half: bool = False) -> Bundle:
    """Write a bundle beside `path` and move it into place; with `half`, in float16.

    It has no further networks, whatever the card says. Raises OutputError.
    """
    from boneseg.bundle.onnx import export, share_weights
    from boneseg.bundle.tensors import save_tensors

    with folder_beside(path) as building:
        network = copy.deepcopy(network).half() if half else network
        weights = {name: value.contiguous() for name, value in network.state_dict().items()}
        save_tensors(weights, building / WEIGHTS)
        export(network, building / ONNX, (1, card.height, card.width), fitted=card.fitted)
        share_weights(building / ONNX, WEIGHTS)
        card = sign(building, replace(card, bones=None, outlines=None))
        replace_folder(path, building)
    return Bundle(path, card)


def sign(folder: Path, card: Card) -> Card:
    """Write the card of a bundle, with the SHA-256 of every other file and its own."""
    sums = {file.name: _sha256(file) for file in sorted(folder.iterdir()) if file.name != CARD}
    card = replace(card, files=sums, format=card.least_format)
    digest = card_digest(asdict(card))
    card = replace(card, card_sha256=digest)
    text = json.dumps(asdict(card), indent=2)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")
    return card


def load_bundle(path: Path | str) -> Bundle:
    """Read and verify a bundle, the bundle of a run, or "bundled".

    Raises UsageError for a path that is not a folder, and BundleError for a folder without a model,
    and a model that is damaged or of a newer boneseg.
    """
    path = Path(path)
    path = bundled() if str(path) == "bundled" and not path.exists() else path
    folder = path / "bundle" if (path / "bundle" / CARD).is_file() else path
    if not (folder / CARD).exists():
        raise _no_model(path)
    bundle = Bundle(folder, _read_card(folder))
    if not is_shipped(folder):
        bundle.verify()
    return bundle


def _no_model(path: Path) -> BonesegError:
    """The error for a path that is not the folder of a model or of a finished run."""
    if path.is_file():
        known = (path.parent / CARD).exists()
        folder = str(path.parent) if known else f"a folder with {CARD}, such as RUN/bundle"
        return UsageError(f"{path}: is a file; give the folder of the model: {folder}")
    if not path.exists():
        return UsageError(f"{path}: there is no such folder; give a model, a run, or bundled")
    if any((path / name).exists() for name in RUNS):
        return BundleError(f"{path}: training has not finished; continue it with --resume")
    return BundleError(f"{path}: is not a bundle ({CARD} is missing); give a model or a run")


def _read_card(folder: Path) -> Card:
    path = folder / CARD
    try:
        data = read_json(read_bytes(path))
        if isinstance(data, dict) and data.get("format", 0) > FORMAT:
            raise BundleError(f"{path}: written by a newer boneseg; update boneseg")
        card = Card.of(data)
        digest = card_digest(data)
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        raise BundleError(f"{path}: {reason}; check the file and its permissions") from None
    except (ValueError, TypeError, RecursionError):
        raise BundleError(f"{path}: is damaged; copy the bundle again") from None
    due = {WEIGHTS, ONNX}
    due |= {NAMES_ONNX, NAMES_WEIGHTS} if card.bones else set()
    due |= {OUTLINE_ONNX, OUTLINE_WEIGHTS} if card.outlines else set()
    if set(card.files) not in (due, due | {INT8, INT8_WEIGHTS}):
        raise BundleError(f"{path}: has no valid checksums; copy the bundle again")
    if card.card_sha256 != digest:
        raise BundleError(f"{path}: has changed since it was saved; copy the bundle again")
    return card


def _verify(path: Path, digest: str) -> None:
    try:
        found = _sha256(path)
    except FileNotFoundError:
        raise BundleError(f"{path}: is missing; copy the bundle again") from None
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        raise BundleError(f"{path}: {reason}; copy the bundle again") from None
    if found != digest:
        raise BundleError(f"{path}: has changed since it was saved; copy it again")


def load_network(bundle: Bundle) -> nn.Module:
    """The network in PyTorch, in evaluation mode. Raises BundleError."""
    return with_weights(bundle, WEIGHTS, lambda: _built(bundle.card))


def _built(card: Card) -> nn.Module:
    """The network of a card, with new weights."""
    from boneseg.networks import Ensemble, build

    members = [build(card.network) for _ in range(card.members)]
    return Ensemble(members) if len(members) > 1 else members[0]


def with_weights(bundle: Bundle, file: str, build: Callable[[], Network]) -> Network:
    """The network that `build` makes with the weights in a file, in evaluation mode.

    Raises BundleError.
    """
    import torch
    from safetensors.torch import load_file

    bundle.verify()
    try:
        weights = load_file(bundle.path / file)
        with torch.random.fork_rng(devices=[]):  # initial weights draw random numbers
            network = build()
        network.load_state_dict(weights)
    except Exception:  # unknown network, not safetensors, or other names or shapes than the card's
        problem = f"its {file} does not fit its {CARD}"
        raise BundleError(f"{bundle.path}: {problem}; copy the bundle again") from None
    return network.eval()


def without_names(bundle: Bundle) -> UsageError:
    """The error for a bundle that is asked to name bones, and has no network for it."""
    return UsageError(f"{bundle.path}: does not name bones; choose a model that does")


def _sha256(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
