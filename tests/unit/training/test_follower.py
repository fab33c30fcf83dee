"""Several processes train one network as one process does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from boneseg.dataset.open import Dataset
from boneseg.errors import UsageError
from boneseg.training import loop as training
from boneseg.training.history import Check
from boneseg.training.losses import LOSSES
from boneseg.training.placement import Place
from boneseg.training.train import train
from tests.support.training import SMALL, recipe

SMALL += ["network.levels=3"]
TWO = (Place(0, 2), Place(1, 2, local=1))
# The rate of the first steps of the default recipe, whose warm-up takes hundreds.
QUICK = recipe("run.epochs=10", "run.batch=5", "optimiser.learning_rate=3e-4", "run.ema=0.9")


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The loss of each step, as it comes."""
    kept: list[float] = []
    step = training.Loop._step

    def recorded(loop: training.Loop) -> float:
        kept.append(step(loop))
        return kept[-1]

    monkeypatch.setattr(training.Loop, "_step", recorded)
    return kept


@pytest.mark.slow
def test_two_processes_train_as_one_and_resume(
    phantoms: Dataset, tmp_path: Path, losses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same losses as one; after an interruption, the same weights, bit for bit; and a run that
    two have begun, one goes on with."""
    monkeypatch.setattr(training, "SAVE_EVERY", 0.0)
    train(phantoms, QUICK, tmp_path / "one")
    alone = list(losses)
    losses.clear()

    def copy(check: Check) -> None:
        """Keep the run as it would be, had it been killed here."""
        if 0.4 < check.done < 1:
            for name in ("again", "other"):
                shutil.copytree(tmp_path / "two", tmp_path / name, dirs_exist_ok=True)

    whole = train(phantoms, QUICK, tmp_path / "two", places=TWO, report=copy)
    assert len(losses) == len(alone) >= 20
    assert losses[:20] == pytest.approx(alone[:20], abs=1e-5)
    losses.clear()
    again = train(phantoms, QUICK, tmp_path / "again", places=TWO, resume=True)
    assert 0 < len(losses) < len(alone)
    ours, theirs = again.network.state_dict(), whole.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    other = train(phantoms, QUICK, tmp_path / "other", resume=True)
    assert other.history[-1].step == whole.history[-1].step
    assert other.best_dice == pytest.approx(whole.best_dice, abs=0.02)


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("two_threads")
def test_batch_invariant_training_gives_the_same_weights_on_any_number_of_devices(
    phantoms: Dataset, tmp_path: Path, losses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, whatever their threads, and where one goes on with what two have begun."""
    monkeypatch.setattr(training, "SAVE_EVERY", 0.0)
    small = ["run.batch_invariant=true", "run.batch=3", "network.levels=2", "network.width=4"]
    invariant = QUICK.with_settings([*small, "run.epochs=6"])
    alone = train(phantoms, invariant, tmp_path / "one")
    expected = list(losses)
    losses.clear()

    def copy(check: Check) -> None:
        if 0.4 < check.done < 1:
            shutil.copytree(tmp_path / "two", tmp_path / "other", dirs_exist_ok=True)

    both = train(phantoms, invariant, tmp_path / "two", places=TWO, report=copy)
    assert losses == expected
    resumed = train(phantoms, invariant, tmp_path / "other", resume=True)
    assert len(losses) < 2 * len(expected)
    for run in (both, resumed):
        assert [check.dice for check in run.history] == [check.dice for check in alone.history]
        ours, theirs = run.network.state_dict(), alone.network.state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_loss_that_is_not_a_mean_over_films_needs_one_device(
    phantoms: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def largest(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (logits - target).square().amax()

    monkeypatch.setitem(LOSSES._entries, "largest", largest)
    whole = QUICK.with_settings(["loss.largest=1"])
    with pytest.raises(UsageError, match=r"loss\.largest: is not a mean over the films"):
        train(phantoms, whole, tmp_path / "run", places=TWO)
    with pytest.raises(UsageError, match=r"loss\.largest: is not a mean over the films"):
        train(phantoms, whole.with_settings(["run.batch_invariant=true"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_batch_invariant_training_is_refused_on_gpus(
    phantoms: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boneseg.training.train.training_device", lambda: torch.device("cuda"))
    with pytest.raises(UsageError, match=r"run\.batch_invariant: is for CPUs"):
        train(phantoms, QUICK.with_settings(["run.batch_invariant=true"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_step_with_fewer_films_than_processes_is_refused(
    phantoms: Dataset, tmp_path: Path
) -> None:
    three = tuple(Place(rank, 3, local=rank) for rank in range(3))
    with pytest.raises(UsageError, match="3 devices cannot share a step of 2 films"):
        train(phantoms, recipe("run.batch=2", "run.epochs=1"), tmp_path / "run", places=three)
