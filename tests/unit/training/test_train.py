"""A run learns, is reproducible, resumes after a kill, and its collapse is detected."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from boneseg.bundle.store import load_network, save_bundle
from boneseg.dataset.open import Dataset
from boneseg.errors import RecipeError, TrainingError
from boneseg.training import loop as training
from boneseg.training.history import Check
from boneseg.training.train import train
from tests.support.command_line import boneseg
from tests.support.training import SMALL, recipe

SMALL += ["network.levels=3"]


def test_a_run_learns_to_find_bone(phantoms: Dataset, tmp_path: Path) -> None:
    run = train(phantoms, recipe("run.epochs=30"), tmp_path)
    assert run.best_dice > 0.6
    assert run.best_dice > run.history[0].dice + 0.1
    assert (tmp_path / "history.csv").read_text().count("\n") == len(run.history) + 1


def test_a_gpu_that_is_too_small_is_one_line(
    phantoms: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(_: object) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate ...")

    monkeypatch.setattr(training.Loop, "_step", step)
    with pytest.raises(
        TrainingError, match=r"not enough GPU memory for 8 films of 64 x 64 per step; lower run\.b"
    ):
        train(phantoms, recipe("run.epochs=1"), tmp_path / "run")


class KilledError(Exception):
    pass


def test_a_killed_run_ends_in_the_same_weights(
    phantoms: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SAVE_EVERY", 0.0)
    whole = train(phantoms, recipe("run.epochs=20"), tmp_path / "whole")

    def kill(check: Check) -> None:
        if check.step >= 40:
            raise KilledError

    with pytest.raises(KilledError):
        train(phantoms, recipe("run.epochs=20"), tmp_path / "cut", report=kill)
    resumed = train(phantoms, recipe("run.epochs=20"), tmp_path / "cut", resume=True)
    ours, theirs = whole.network.state_dict(), resumed.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert [row.dice for row in whole.history] == [row.dice for row in resumed.history]


@pytest.mark.slow
def test_kill_minus_9_changes_nothing(phantoms: Dataset, tmp_path: Path) -> None:
    """Through the command line: killed after a checkpoint, resumed, the weights are the same."""
    words = ["train", str(phantoms.root), "--epochs", "30"]
    for setting in [*SMALL, "run.precision=fp32"]:
        words += ["--set", setting]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert boneseg(*words, "--out", whole).returncode == 0
    call = [sys.executable, "-c", "from boneseg.cli import main; main()", *words]
    with subprocess.Popen([*call, "--out", str(cut)], stderr=subprocess.DEVNULL) as running:
        while not (cut / "checkpoint.safetensors").exists() and running.poll() is None:
            time.sleep(0.01)
        running.kill()
    assert not (cut / "bundle").exists()
    assert boneseg(*words, "--out", cut, "--resume").returncode == 0
    weights = [run / "bundle" / "weights.safetensors" for run in (whole, cut)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_run_is_not_overwritten(phantoms: Dataset, tmp_path: Path) -> None:
    train(phantoms, recipe("run.epochs=1"), tmp_path)
    with pytest.raises(TrainingError, match="--resume"):
        train(phantoms, recipe("run.epochs=1"), tmp_path)


def test_a_run_is_resumed_with_a_recipe_whose_summary_alone_differs(
    phantoms: Dataset, tmp_path: Path
) -> None:
    quick = recipe("run.epochs=1")
    train(phantoms, quick, tmp_path)
    reworded = quick.model_copy(update={"summary": "the same, in other words"})
    resumed = train(phantoms, reworded, tmp_path, resume=True)
    assert resumed.recipe.summary == "the same, in other words"
    with pytest.raises(TrainingError, match=r"settings have changed since \("):
        train(phantoms, recipe("run.epochs=1", "loss.focal=0.1"), tmp_path, resume=True)


@pytest.mark.parametrize("change", ["groups", "parts", "beginning"])
def test_a_run_resumes_with_its_own_split_and_initial_model(
    phantoms: Dataset, tmp_path: Path, change: str
) -> None:
    quick = recipe("run.epochs=1")
    run = train(phantoms, quick, tmp_path / "run")
    train(phantoms, quick, tmp_path / "run", resume=True)
    cases, init = phantoms.cases, None
    if change == "groups":
        cases = tuple(replace(case, group=str(n % 3)) for n, case in enumerate(cases))
    if change == "parts":
        cases = tuple(replace(case, part="hand") for case in cases)
    if change == "beginning":
        init = save_bundle(tmp_path / "bundle", run.network, run.assess().card)
    with pytest.raises(TrainingError, match=r"was started with a different .*; use that"):
        train(replace(phantoms, cases=cases), quick, tmp_path / "run", resume=True, init=init)


@pytest.mark.parametrize("there", ["plan.json", "tune.db", "bundle/model.json", "model.json"])
def test_a_run_does_not_use_the_folder_of_another(
    phantoms: Dataset, tmp_path: Path, there: str
) -> None:
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("")
    for resume in (False, True):
        with pytest.raises(TrainingError, match="holds another run already"):
            train(phantoms, recipe("run.epochs=1"), tmp_path, resume=resume)


def test_a_finished_unetplusplus_can_be_pruned_again(phantoms: Dataset, tmp_path: Path) -> None:
    nested = ["network.architecture=unetplusplus", "network.levels=4", "run.epochs=4"]
    whole = train(phantoms, recipe(*nested), tmp_path)
    assert sorted(whole.depths) == [1, 2, 3]
    assert whole.depths[3] == pytest.approx(whole.best_dice, abs=1e-6)
    cut = train(phantoms, recipe(*nested, "network.depth=1"), tmp_path, resume=True)
    assert cut.history == whole.history
    assert cut.recipe.network.widths == (8, 16)
    bundle = save_bundle(tmp_path / "bundle", cut.network, cut.assess().card)
    with torch.no_grad():
        film = torch.randn(1, 1, 64, 64)
        assert torch.equal(load_network(bundle)(film), cut.network(film))


def test_one_film_at_a_bottom_of_one_pixel_is_refused_before_anything_is_written(
    phantoms: Dataset, tmp_path: Path
) -> None:
    two = replace(phantoms, cases=phantoms.cases[:2])  # one to train on, one to validate with
    with pytest.raises(RecipeError, match="with 1 film per step"):
        train(two, recipe("network.levels=7", "network.width=2"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
