"""Checkpoints of a training run, so that it can be resumed after an interruption.

One safetensors file holds the tensors; its header holds the rest as JSON. It is written to a
temporary file and renamed, so that there is always either a complete checkpoint or none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ConfigDict
from safetensors import SafetensorError, safe_open
from torch import Tensor

from boneseg._util.documents import Document
from boneseg._util.files import read_json, whole_file
from boneseg.bundle.tensors import save_tensors
from boneseg.errors import TrainingError
from boneseg.training.history import Check
from boneseg.training.run_folder import TrainingPlan
from boneseg.training.schedule import Plateau

Weights = dict[str, Tensor]


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


class Record(Document):
    """The JSON in the header of a checkpoint."""

    model_config = ConfigDict(allow_inf_nan=True)  # the loss of a collapsed run

    plan: TrainingPlan
    state: State

    @classmethod
    def upgraded(cls, content: dict[str, object]) -> dict[str, object]:
        if "plan" in content:
            return content
        return {"plan": content, "state": content.pop("state", None)}


@dataclass(frozen=True)
class Checkpoint:
    """A run at one step: the weights, their moving average, the best of these, and the rest."""

    plan: TrainingPlan
    state: State
    network: Weights
    average: Weights
    best: Weights
    optimiser: dict[str, Weights]  # by parameter; see `optimiser.slots`


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint. Raises OutputError."""
    tensors = {name: value.detach().contiguous().clone() for name, value in _named(checkpoint)}
    record = Record(plan=checkpoint.plan, state=checkpoint.state)
    with whole_file(path) as temporary:
        save_tensors(tensors, temporary, {"facts": json.dumps(record.model_dump())})


def load(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises TrainingError where the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            record = Record.model_validate(read_json(file.metadata()["facts"]))
            found = Checkpoint(record.plan, record.state, {}, {}, {}, {})
            groups = {"network": found.network, "average": found.average, "best": found.best}
            for key in file.keys():  # noqa: SIM118 (a safetensors file is not a mapping)
                group, _, name = key.partition("/")
                if group == "optimiser":
                    parameter, _, name = name.partition("/")
                    weights = found.optimiser.setdefault(parameter, {})
                else:
                    weights = groups[group]
                weights[name] = file.get_tensor(key)
            return found
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(
            f"{path}: the checkpoint cannot be read ({reason}); start a new run"
        ) from None


def _named(checkpoint: Checkpoint) -> Iterator[tuple[str, Tensor]]:
    """Each tensor with its name in the file: group/name, or optimiser/parameter/name."""
    for group in ("network", "average", "best"):
        weights: Weights = getattr(checkpoint, group)
        yield from ((f"{group}/{name}", value) for name, value in weights.items())
    for parameter, slot in checkpoint.optimiser.items():
        yield from ((f"optimiser/{parameter}/{name}", value) for name, value in slot.items())
