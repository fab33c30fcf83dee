"""Checkpoints of a training run, so that it can be resumed after an interruption.

One safetensors file holds the tensors; its header holds the rest as JSON. It is written to a
temporary file and renamed, so that there is always either a complete checkpoint or none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from boneseg._util.files import read_json, whole_file
from boneseg.bundle.tensors import save_tensors
from boneseg.errors import TrainingError
from boneseg.training.history import Check
from boneseg.training.schedule import Plateau


@dataclass
class State:
    """The state of a run, without its tensors."""

    attempt: int = 0
    step: int = 0  # of this attempt
    seconds: float = 0.0  # of the whole run
    attempt_start: float = 0.0
    strikes: int = 0
    sound: bool = False  # whether any check beat the constant masks
    best_dice: float = -1.0  # of any attempt
    loss_sum: float = 0.0
    loss_count: int = 0
    checked_at: float = 0.0
    plateau: Plateau = field(default_factory=Plateau)
    history: list[Check] = field(default_factory=list)

    @classmethod
    def of(cls, facts: dict[str, Any]) -> State:
        """Restore a state from the result of `asdict`."""
        plateau = Plateau(**facts["plateau"])
        return cls(
            **facts | {"plateau": plateau, "history": [Check(**r) for r in facts["history"]]}
        )


def save(path: Path, tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write nested mappings of tensors, and JSON-serialisable facts. Raises OutputError."""
    flat = {name: tensor.detach().contiguous().clone() for name, tensor in _flatten(tensors)}
    with whole_file(path) as temporary:
        save_tensors(flat, temporary, {"facts": json.dumps(facts)})


def load(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the nested tensors and the facts. Raises TrainingError where the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = read_json(file.metadata()["facts"])
            nested: dict[str, Any] = {}
            for name in file.keys():  # noqa: SIM118 (a safetensors file is not a mapping)
                *parents, last = name.split("/")
                place = nested
                for parent in parents:
                    place = place.setdefault(parent, {})
                place[last] = file.get_tensor(name)
            return nested, facts
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            f"{path}: the checkpoint cannot be read ({error}); start a new run"
        ) from None


def _flatten(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    for name, value in nested.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}/")
        else:
            yield prefix + str(name), value
