"""A collapsed run is stopped and restarted."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from boneseg.dataset.open import Dataset, open_dataset
from boneseg.errors import TrainingError
from boneseg.preprocessing import Preparation
from boneseg.recipes.builtin import BUILT_IN
from boneseg.simulate import simulate
from boneseg.training import loop as training
from boneseg.training.collapse_guard import collapse, film_figures, mean_dice, predict
from boneseg.training.tensors import prepare_films
from boneseg.training.train import train
from tests.support.training import SMALL, recipe

SMALL += ["network.levels=3"]


def test_an_empty_prediction_without_bone_is_not_a_collapse() -> None:
    nothing, bone = torch.zeros(3, 1, 8, 8), torch.zeros(3, 1, 8, 8, dtype=torch.bool)
    assert collapse(film_figures(nothing, bone), 1.0) == ""
    bone[0, 0, 0, 0] = True
    assert collapse(film_figures(nothing, bone), 0.9) == "all background"


def test_one_film_whose_prediction_is_not_finite_is_a_collapse() -> None:
    bone = torch.rand(3, 1, 8, 8) > 0.5
    found = bone.float()
    found[1, 0, 2, 2] = math.nan
    assert collapse(film_figures(found, bone), 0.5) == "predictions are not finite"
    assert film_figures(found, bone)[:, 2].tolist() == [1, 0, 1]


@pytest.mark.slow
def test_a_collapsed_run_restarts_at_most_three_times(tmp_path: Path) -> None:
    """Films of noise, masks that have nothing to do with them: no mask beats a constant one."""
    draw = np.random.default_rng(2)
    for folder, top in (("images", 1.0), ("masks", 0.3)):
        (tmp_path / folder).mkdir()
        for name in range(8):
            values = draw.random((64, 64))
            pixels = (values * 255 if top == 1 else (values < top) * 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    with pytest.raises(TrainingError, match="collapsed 4 times"):
        train(open_dataset(tmp_path), recipe("run.epochs=60"), tmp_path / "run")


@pytest.mark.slow
def test_the_guard_saves_a_run_that_collapses_without_it(tmp_path: Path) -> None:
    """The original's network, Dice loss and optimiser at eight times its rate: all background or
    all bone for good. Restarted at a third of the rate, the same recipe learns."""
    simulate(tmp_path / "few", 10, seed=40, size=(96, 96))
    dataset = open_dataset(tmp_path / "few")
    settings = ["prepare.height=64", "prepare.width=64", "run.precision=fp32", "run.epochs=60"]
    settings += ["optimiser.learning_rate=8e-3", "network.widths=[16,32,64,128,256]"]
    original = BUILT_IN["seed-unet"].with_settings(settings)
    left = train(dataset, original.with_settings(["run.guard=false"]), tmp_path / "left")
    assert left.best_dice < 0.35  # all bone scores 0.25 there
    saved = train(dataset, original, tmp_path / "saved")
    assert 1 <= saved.restarts <= 3
    assert saved.best_dice > 0.5
    notes = [row.note for row in saved.history if row.note]
    assert len(notes) == saved.restarts
    assert all(note.startswith("collapsed") for note in notes)


def test_the_best_weights_survive_a_collapse(
    phantoms: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last loss of an attempt is not finite; the next attempt does not improve."""
    step = training.Loop._step

    def fails_late(loop: training.Loop) -> float:
        loss = step(loop)
        return math.nan if loop.state.attempt == 0 and loop._done() >= 1 else loss

    monkeypatch.setattr(training.Loop, "_step", fails_late)
    monkeypatch.setattr(training, "SLOWER", 0.0)
    run = train(phantoms, recipe("run.epochs=20"), tmp_path)
    assert run.restarts == 1
    assert run.best_dice == max(row.dice for row in run.history if row.attempt == 0)
    assert run.best_dice > max(row.dice for row in run.history if row.attempt == 1)
    kept = prepare_films(run.validation, Preparation(64, 64))
    dice = mean_dice(predict(run.network, kept.films), kept.masks)
    assert dice == pytest.approx(run.best_dice, abs=1e-4)
