"""A run learns, repeats itself, goes on after a kill, and does not collapse unseen."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from boneseg.bundle.store import load_network, save_bundle
from boneseg.dataset.load import prepare_films
from boneseg.dataset.open import Dataset, open_dataset
from boneseg.errors import RecipeError, TrainingError
from boneseg.preprocessing import Preparation
from boneseg.recipes.builtin import BUILT_IN
from boneseg.recipes.recipe import Recipe
from boneseg.recipes.settings import OptimiserSettings
from boneseg.simulate import simulate
from boneseg.training import train as training
from boneseg.training.collapse_guard import collapse, mean_dice, predict
from boneseg.training.history import Check
from boneseg.training.schedule import Plateau
from boneseg.training.train import train

SMALL = ["prepare.height=64", "prepare.width=64", "network.stem=1", "network.width=8"]
SMALL += ["network.levels=3"]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("phantoms")
    simulate(folder, 16, seed=5, size=(96, 96))
    return open_dataset(folder)


def recipe(*settings: str) -> Recipe:
    return BUILT_IN["default"].with_settings([*SMALL, "run.precision=fp32", *settings])


def test_a_run_learns_to_find_bone(phantoms: Dataset, tmp_path: Path) -> None:
    run = train(phantoms, recipe("run.epochs=30"), tmp_path)
    assert run.best_dice > 0.6
    assert run.best_dice > run.history[0].dice + 0.1
    assert (tmp_path / "history.csv").read_text().count("\n") == len(run.history) + 1


def test_a_gpu_that_is_too_small_is_told_in_a_line(
    phantoms: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(_: object) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate ...")

    monkeypatch.setattr(training._Loop, "_step", step)
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


def test_kill_minus_9_changes_nothing(phantoms: Dataset, tmp_path: Path) -> None:
    """Through the command line: killed after a checkpoint, resumed, the weights are the same."""
    words = ["train", str(phantoms.root), "--epochs", "30"]
    for setting in [*SMALL, "run.precision=fp32"]:
        words += ["--set", setting]
    call = [sys.executable, "-c", "from boneseg.cli import main; main()", *words]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    subprocess.run([*call, "--out", str(whole)], check=True, capture_output=True)
    with subprocess.Popen([*call, "--out", str(cut)], stderr=subprocess.DEVNULL) as running:
        while not (cut / "checkpoint.safetensors").exists() and running.poll() is None:
            time.sleep(0.01)
        running.kill()
    assert not (cut / "bundle").exists()
    subprocess.run([*call, "--out", str(cut), "--resume"], check=True, capture_output=True)
    weights = [run / "bundle" / "weights.safetensors" for run in (whole, cut)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_run_is_not_overwritten_unasked(phantoms: Dataset, tmp_path: Path) -> None:
    train(phantoms, recipe("run.epochs=1"), tmp_path)
    with pytest.raises(TrainingError, match="--resume"):
        train(phantoms, recipe("run.epochs=1"), tmp_path)


@pytest.mark.parametrize("change", ["groups", "parts", "beginning"])
def test_a_run_goes_on_with_the_films_it_was_dealt_and_from_its_beginning(
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
def test_a_run_takes_no_folder_of_another(phantoms: Dataset, tmp_path: Path, there: str) -> None:
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("")
    for resume in (False, True):
        with pytest.raises(TrainingError, match="holds another run already"):
            train(phantoms, recipe("run.epochs=1"), tmp_path, resume=resume)


def test_finding_nothing_where_nothing_is_is_no_collapse() -> None:
    assert collapse(torch.zeros(3, 1, 8, 8), 1.0, 1.0) == ""
    assert collapse(torch.zeros(3, 1, 8, 8), 0.9, 0.9) == "all background"


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


def test_the_best_weights_outlive_a_collapse(
    phantoms: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last loss of an attempt is no number; the next attempt stands still, and is no better."""
    step = training._Loop._step

    def fails_late(loop: training._Loop) -> float:
        loss = step(loop)
        return math.nan if loop.state.attempt == 0 and loop._done() >= 1 else loss

    monkeypatch.setattr(training._Loop, "_step", fails_late)
    monkeypatch.setattr(training, "SLOWER", 0.0)
    run = train(phantoms, recipe("run.epochs=20"), tmp_path)
    assert run.restarts == 1
    assert run.best_dice == max(row.dice for row in run.history if row.attempt == 0)
    assert run.best_dice > max(row.dice for row in run.history if row.attempt == 1)
    kept = prepare_films(run.validation, Preparation(64, 64))
    dice = mean_dice(predict(run.network, kept.films), kept.masks)
    assert dice == pytest.approx(run.best_dice, abs=1e-4)


def test_a_run_of_minutes_that_goes_wrong_at_its_end_has_its_best_weights(
    phantoms: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that only steps move: 240 of them are the 0.2 minutes."""
    step = training._Loop._step

    def fails_last(loop: training._Loop) -> float:
        loss, taken = step(loop), loop.state.step
        loop.started, loop.clock = 0.0, lambda: taken / 20
        return math.nan if taken >= 240 else loss

    monkeypatch.setattr(training._Loop, "_step", fails_last)
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


def test_a_finished_unetplusplus_can_be_cut_again(phantoms: Dataset, tmp_path: Path) -> None:
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


def test_a_plateau_is_counted_in_epochs_however_many_a_check_spans(
    phantoms: Dataset, tmp_path: Path
) -> None:
    still = ["optimiser.learning_rate=1e-9", "optimiser.warmup=0", "run.guard=false"]
    falling = ["optimiser.schedule=plateau", "optimiser.plateau_factor=0.5"]
    spans = recipe(*still, *falling, "run.batch=4", "run.epochs=12", "optimiser.plateau_patience=3")
    run = train(phantoms, spans, tmp_path)
    assert [row.epoch for row in run.history] == [3, 6, 9, 12]
    assert [row.learning_rate for row in run.history] == [1e-9, 1e-9, 0.5e-9, 0.25e-9]


def test_what_is_left_of_a_span_counts_towards_the_next_fall() -> None:
    settings = OptimiserSettings(schedule="plateau", plateau_factor=0.5, plateau_patience=4)
    plateau = Plateau()
    scales = []
    for dice in (0.5, 0.5, 0.5, 0.6, 0.6):
        plateau.seen(dice, settings, passed=6)
        scales.append(plateau.scale)
    assert scales == [1, 0.5, 0.125, 0.125, 0.0625]


def test_sgd_without_momentum_trains(phantoms: Dataset, tmp_path: Path) -> None:
    plain = ("optimiser.name=sgd", "optimiser.momentum=0", "run.epochs=1")
    assert train(phantoms, recipe(*plain), tmp_path).history


def test_one_film_at_a_bottom_of_one_pixel_is_refused_before_anything_is_written(
    phantoms: Dataset, tmp_path: Path
) -> None:
    two = replace(phantoms, cases=phantoms.cases[:2])  # one to train on, one to validate with
    with pytest.raises(RecipeError, match="with 1 film per step"):
        train(two, recipe("network.levels=7", "network.width=2"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_enlarged_sets_have_longer_epochs(phantoms: Dataset, tmp_path: Path) -> None:
    run = train(phantoms, recipe("run.epochs=2", "augment.views=3", "run.batch=8"), tmp_path)
    assert run.history[-1].step == 2 * -(-4 * len(run.training) // 8)
