"""A checkpoint is read as it was written, also by a later version."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from boneseg.bundle.tensors import save_tensors
from boneseg.errors import TrainingError
from boneseg.recipes.recipe import Recipe
from boneseg.training.checkpoint import Checkpoint, State, load, save
from boneseg.training.history import Check
from boneseg.training.run_folder import TrainingPlan
from boneseg.training.schedule import Plateau
from tests.support import ROOT
from tests.support.damage import one_line

PLAN = TrainingPlan(
    films={"knee": "1"},
    recipe=Recipe().settle([(64, 64)]),
    init=None,
    validation=("knee",),
    parts=(None,),
)
STATE = State(
    step=7, plateau=Plateau(scale=0.5), history=[Check(0, 1.0, 7, 2.0, 0.5, 1e-3, 0.4, 0.8)]
)


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    one = {"layer.weight": torch.ones(2, 3), "norm.count": torch.tensor(7)}
    slot = {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2)}
    written = Checkpoint(
        PLAN, STATE, one, one, {"layer.weight": torch.zeros(1)}, {"0": slot, "12": slot}
    )
    save(tmp_path / "checkpoint.safetensors", written)
    found = load(tmp_path / "checkpoint.safetensors")
    assert (found.plan, found.state) == (PLAN, STATE)
    for group in ("network", "average", "best"):
        ours, theirs = getattr(found, group), getattr(written, group)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert found.optimiser.keys() == {"0", "12"}
    assert torch.equal(found.optimiser["12"]["step"], slot["step"])


def test_a_loss_that_is_not_finite_is_kept(tmp_path: Path) -> None:
    state = State(history=[Check(0, 1.0, 7, 2.0, 0.5, 1e-3, math.inf, 0.8, "collapsed")])
    save(
        tmp_path / "checkpoint.safetensors",
        Checkpoint(PLAN, state, {}, {}, {"a": torch.ones(1)}, {}),
    )
    assert load(tmp_path / "checkpoint.safetensors").state.history[0].loss == math.inf


def test_a_checkpoint_of_the_first_version_is_read(tmp_path: Path) -> None:
    """The header was written before checkpoints had a version."""
    facts = (ROOT / "tests/support/old_forms/checkpoint.json").read_text()
    tensors = {"network/a": torch.ones(1), "optimiser/3/step": torch.ones(1)}
    save_tensors(tensors, tmp_path / "checkpoint.safetensors", {"facts": facts})
    found = load(tmp_path / "checkpoint.safetensors")
    assert (found.state.step, found.state.history[-1].step) == (8, 8)
    assert found.plan.films == json.loads(facts)["films"]
    assert [list(found.plan.validation), list(found.plan.parts)] == json.loads(facts)["dealt"]
    assert found.plan.recipe.network.widths == (6, 12, 24)
    assert list(found.optimiser) == ["3"]


def test_a_field_that_an_older_version_lacks_has_its_default(tmp_path: Path) -> None:
    facts = json.loads((ROOT / "tests/support/old_forms/checkpoint.json").read_text())
    del facts["state"]["strikes"], facts["recipe"]["augment"]["views"]
    save_tensors({}, tmp_path / "checkpoint.safetensors", {"facts": json.dumps(facts)})
    found = load(tmp_path / "checkpoint.safetensors")
    assert (found.state.strikes, found.plan.recipe.augment.views) == (0, 0)


def test_a_tensor_of_an_unknown_group_is_damage(tmp_path: Path) -> None:
    facts = (ROOT / "tests/support/old_forms/checkpoint.json").read_text()
    save_tensors({"other/a": torch.ones(1)}, tmp_path / "checkpoint", {"facts": facts})
    with pytest.raises(TrainingError, match=r"cannot be read.*start a new run"):
        load(tmp_path / "checkpoint")


@pytest.mark.parametrize(
    "facts", [[], 5, None, {}, {"films": {}}, {"films": {}, "state": 5}, {"films": {}, "state": {}}]
)
def test_a_damaged_checkpoint_is_one_line(facts: object, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_tensors({"best/a": torch.zeros(1)}, path, {"facts": json.dumps(facts)})
    with pytest.raises(TrainingError, match="start a new run") as error:
        load(path)
    one_line(error, path)
