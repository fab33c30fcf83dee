"""Optimisers and the schedules of their learning rate."""

from __future__ import annotations

from pathlib import Path

from boneseg.dataset.open import Dataset
from boneseg.recipes.settings import OptimiserSettings
from boneseg.training.schedule import Plateau
from boneseg.training.train import train
from tests.support.training import SMALL, recipe

SMALL += ["network.levels=3"]


def test_a_plateau_is_counted_in_epochs_however_many_a_check_spans(
    phantoms: Dataset, tmp_path: Path
) -> None:
    still = ["optimiser.learning_rate=1e-9", "optimiser.warmup=0", "run.guard=false"]
    falling = ["optimiser.schedule=plateau", "optimiser.plateau_factor=0.5"]
    spans = recipe(*still, *falling, "run.batch=4", "run.epochs=12", "optimiser.plateau_patience=3")
    run = train(phantoms, spans, tmp_path)
    assert [row.epoch for row in run.history] == [3, 6, 9, 12]
    assert [row.learning_rate for row in run.history] == [1e-9, 1e-9, 0.5e-9, 0.25e-9]


def test_the_rest_of_an_interval_counts_towards_the_next_reduction() -> None:
    settings = OptimiserSettings(schedule="plateau", plateau_factor=0.5, plateau_patience=4)
    plateau = Plateau()
    scales = []
    for dice in (0.5, 0.5, 0.5, 0.6, 0.6):
        plateau.record(dice, settings, passed=6)
        scales.append(plateau.scale)
    assert scales == [1, 0.5, 0.125, 0.125, 0.0625]


def test_sgd_without_momentum_trains(phantoms: Dataset, tmp_path: Path) -> None:
    plain = ("optimiser.name=sgd", "optimiser.momentum=0", "run.epochs=1")
    assert train(phantoms, recipe(*plain), tmp_path).history
