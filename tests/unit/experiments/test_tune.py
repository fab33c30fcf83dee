"""A search for a better recipe: it resumes after a kill, and tests its significance."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.distributions import BaseDistribution

from boneseg.dataset.open import Dataset, open_dataset
from boneseg.errors import DatasetError, OutputError, RecipeError, TrainingError, UsageError
from boneseg.experiments.tune import tune_recipe
from boneseg.experiments.tune_result import TrialResult
from boneseg.recipes.builtin import load_recipe
from boneseg.recipes.recipe import Recipe
from boneseg.recipes.search_space import Choices, Range
from boneseg.simulate import simulate
from boneseg.training.history import Check

SPACE = {
    "optimiser.learning_rate": Range(low=1e-5, high=1e-2, log=True),
    "network.width": Choices(choices=(4, 6)),
    "network.deep_supervision": Choices(choices=(True, False)),
}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("phantoms")
    simulate(folder, 20, seed=9, size=(72, 72))
    return open_dataset(folder)


@pytest.mark.slow
def test_the_best_recipe_is_a_file_and_its_gain_is_judged_on_unseen_films(
    phantoms: Dataset, base: Recipe, tmp_path: Path
) -> None:
    found = tune_recipe(phantoms, base, tmp_path, trials=5, space=SPACE)
    assert len(found.trials) == 5
    done = [trial.dice for trial in found.trials if trial.dice is not None]
    assert found.best_dice == max(found.base_dice, *done)
    again = load_recipe(str(tmp_path / "best.toml"))
    for key, value in found.settings.items():
        section, name = key.split(".")
        assert getattr(getattr(again, section), name) == value
    assert found.held_out == 4
    low, high = found.gain_ci95
    assert low <= found.held_out_dice[1] - found.held_out_dice[0] <= high
    assert 0 < found.p <= 1
    document = json.loads((tmp_path / "tune.json").read_text())
    assert document["verdict"] == found.verdict
    assert len(document["trials"]) == 5
    assert (tmp_path / "bundle" / "model.onnx").is_file()
    more = tune_recipe(phantoms, base, tmp_path, trials=6, space=SPACE, resume=True)
    assert more.trials[:5] == found.trials
    assert len(more.trials) == 6
    assert "6 trials" in more.table()


class KilledError(BaseException):
    """As a kill would: it passes by every handler of errors."""


@pytest.fixture(scope="module")
def undisturbed(
    phantoms: Dataset, base: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> list[TrialResult]:
    out = tmp_path_factory.mktemp("undisturbed")
    return list(tune_recipe(phantoms, base, out, trials=3, space=SPACE).trials)


def test_a_killed_search_ends_as_if_it_had_not_been_killed(
    phantoms: Dataset, base: Recipe, tmp_path: Path, undisturbed: list[TrialResult]
) -> None:
    def kill(trial: int, check: Check) -> None:
        if trial == 2:
            raise KilledError

    with pytest.raises(KilledError):
        tune_recipe(phantoms, base, tmp_path, trials=3, space=SPACE, report=kill)
    found = tune_recipe(phantoms, base, tmp_path, trials=3, space=SPACE, resume=True)
    assert list(found.trials) == undisturbed
    assert [trial.number for trial in found.trials] == [1, 2, 3]


@pytest.mark.parametrize("drawn", [0, 1])
def test_a_search_that_is_killed_while_it_draws_a_trial_draws_it_again(
    drawn: int,
    phantoms: Dataset,
    base: Recipe,
    tmp_path: Path,
    undisturbed: list[TrialResult],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask, asked = optuna.Study.ask, list[int]()

    def killed(study: optuna.Study, fixed: dict[str, BaseDistribution]) -> optuna.Trial:
        asked.append(len(fixed))
        if len(asked) == 2:
            ask(study, dict(list(fixed.items())[:drawn]))
            raise KilledError
        return ask(study, fixed)

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(optuna.Study, "ask", killed)
        tune_recipe(phantoms, base, tmp_path, trials=3, space=SPACE)
    found = tune_recipe(phantoms, base, tmp_path, trials=3, space=SPACE, resume=True)
    assert list(found.trials) == undisturbed


def test_too_few_films_to_hold_some_back_are_refused(
    phantoms: Dataset, base: Recipe, tmp_path: Path
) -> None:
    few = replace(phantoms, cases=phantoms.cases[:4])
    with pytest.raises(DatasetError, match="needs films of at least 5 patients"):
        tune_recipe(few, base, tmp_path / "out", space=SPACE)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_workers_share_the_trials(phantoms: Dataset, base: Recipe, tmp_path: Path) -> None:
    told: list[int] = []
    found = tune_recipe(
        phantoms,
        base,
        tmp_path,
        trials=4,
        space=SPACE,
        parallel=2,
        report=lambda trial, _: told.append(trial),
    )
    assert len(found.trials) == 4
    assert sorted(trial for trial in told if trial) == [1, 2, 3, 4]  # each once, when it ends
    assert len({json.dumps(trial.settings) for trial in found.trials}) >= 3


def ended(*_: object) -> None:
    os._exit(9)


def test_a_worker_ended_from_outside_is_named_in_one_line(
    phantoms: Dataset, base: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boneseg.experiments.tune.run_trial", ended)
    with pytest.raises(TrainingError, match=rf"{tmp_path}: a worker was killed"):
        tune_recipe(phantoms, base, tmp_path, trials=2, space=SPACE, parallel=2)


def test_a_search_of_other_films_recipe_or_space_is_refused(
    phantoms: Dataset, base: Recipe, tmp_path: Path
) -> None:
    out = tmp_path / "tuned"
    tune_recipe(phantoms, base, out, trials=1, space=SPACE)
    with pytest.raises(TrainingError, match="holds a run already"):
        tune_recipe(phantoms, base, out, trials=1, space=SPACE)
    other = tmp_path / "other"
    shutil.copytree(phantoms.root, other)
    (other / "images" / "phantom_000010.png").unlink()
    with pytest.raises(
        TrainingError, match=r"tune\.db: films have changed since \(phantom_000010\)"
    ):
        tune_recipe(open_dataset(other), base, out, trials=1, space=SPACE, resume=True)
    with pytest.raises(TrainingError, match=r"run\.epochs was \d+, now 5"):
        faster = base.with_settings(["run.epochs=5"])
        tune_recipe(phantoms, faster, out, trials=1, space=SPACE, resume=True)
    with pytest.raises(TrainingError, match="a different space"):
        narrow = {"network.width": Choices(choices=(4, 5))}
        tune_recipe(phantoms, base, out, trials=1, space=narrow, resume=True)
    (out / "tune.db").write_text("no database at all, but long enough to look like one " * 40)
    with pytest.raises(OutputError, match="not a search of boneseg"):
        tune_recipe(phantoms, base, out, trials=1, space=SPACE, resume=True)
    with pytest.raises(UsageError, match="one or more"):
        tune_recipe(phantoms, base, out, trials=0, space=SPACE, resume=True)


@pytest.mark.parametrize(
    ("setting", "one", "answer"),
    [
        ("network.norm", Choices(choices=("batch", "layer")), 'network.norm = "layer": give '),
        (
            "augment.geometry",
            Range(low=0.5, high=1.5),
            "augment.geometry = 1.5: give a number of at most 1",
        ),
        ("network.levels", Range(low=2.0, high=4.0), "network.levels = 3.41"),
        ("run.batch", Choices(choices=(1, 2)), "with 1 film per step"),
    ],
)
def test_a_space_with_an_unknown_setting_is_refused_before_anything_is_written(
    setting: str, one: Range | Choices, answer: str, phantoms: Dataset, base: Recipe, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    deep = base.with_settings(["network.levels=7"])
    with pytest.raises(RecipeError) as caught:
        tune_recipe(phantoms, deep, out, trials=1, space={setting: one})
    assert answer in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not out.exists()


def test_settings_that_do_not_go_together_are_a_trial_without_a_figure(
    phantoms: Dataset, base: Recipe, tmp_path: Path
) -> None:
    apart = {
        "network.norm": Choices(choices=("instance",)),
        "network.levels": Choices(choices=(7,)),
    }
    found = tune_recipe(phantoms, base, tmp_path, trials=1, space=apart)
    assert [trial.dice for trial in found.trials] == [None]
    assert not found.settings
