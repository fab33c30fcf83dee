"""Fixtures that these tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from boneseg.dataset.open import Dataset, open_dataset
from boneseg.experiments.crossval import cross_validate
from boneseg.experiments.crossval_result import CrossValidation
from boneseg.recipes.builtin import load_recipe
from boneseg.recipes.recipe import Recipe
from boneseg.simulate import simulate
from tests.support.experiments import SMALL, recipe
from tests.support.made_once import made_once


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("phantoms")
    simulate(folder, 18, seed=7, size=(80, 96))
    return open_dataset(folder)


@pytest.fixture(scope="session")
def done(phantoms: Dataset, tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    """Trained once: resuming it only reads."""

    def train(folder: Path, *, resume: bool = False) -> CrossValidation:
        return cross_validate(phantoms, recipe(), folder, folds=3, resume=resume)

    folder = made_once(tmp_path_factory, "cross-validation", train)
    with FileLock(folder.with_suffix(".resumed")):  # a run folder has one process at a time
        return train(folder, resume=True)


@pytest.fixture(scope="module")
def base() -> Recipe:
    return load_recipe("default").with_settings(SMALL)
