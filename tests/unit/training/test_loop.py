"""The training loop: it ends on time, with the best weights that it had."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from boneseg.dataset.open import Dataset
from boneseg.training import loop as training
from boneseg.training.history import Check
from boneseg.training.train import train
from tests.support.training import SMALL, recipe

SMALL += ["network.levels=3"]


@pytest.mark.slow
def test_a_timed_run_that_collapses_late_keeps_its_best_weights(
    phantoms: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that only steps move: 240 of them are the 0.2 minutes."""
    step = training.Loop._step

    def fails_last(loop: training.Loop) -> float:
        loss, taken = step(loop), loop.state.step
        loop.started, loop.clock = 0.0, lambda: taken / 20
        return math.nan if taken >= 240 else loss

    monkeypatch.setattr(training.Loop, "_step", fails_last)
    run = train(phantoms, recipe("run.minutes=0.2"), tmp_path)
    assert run.history[-1].note == "collapsed: the loss is not finite"
    assert run.restarts == 0
    assert run.best_dice > 0.6


def test_a_run_of_minutes_ends_on_time(phantoms: Dataset, tmp_path: Path) -> None:
    run = train(phantoms, recipe("run.minutes=0.1"), tmp_path)
    assert 5 < run.history[-1].seconds < 12
    assert run.history[-1].learning_rate < run.recipe.optimiser.learning_rate / 10


def test_minutes_of_a_core_do_not_pass_while_the_run_is_kept_waiting(
    phantoms: Dataset, tmp_path: Path
) -> None:
    def wait(check: Check) -> None:
        time.sleep(0.5)

    started, worked = time.monotonic(), time.process_time()
    run = train(phantoms, recipe("run.minutes=0.1", "run.clock=core"), tmp_path, report=wait)
    assert run.history[-1].seconds < 9
    assert time.process_time() - worked > 5.5
    assert time.monotonic() - started > 0.5 * len(run.history)


def test_enlarged_sets_have_longer_epochs(phantoms: Dataset, tmp_path: Path) -> None:
    run = train(phantoms, recipe("run.epochs=2", "augment.views=3", "run.batch=8"), tmp_path)
    assert run.history[-1].step == 2 * -(-4 * len(run.training) // 8)
