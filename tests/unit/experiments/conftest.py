"""Fixtures that these tests share."""

from __future__ import annotations

import pytest

from boneseg.dataset.open import Dataset, open_dataset
from boneseg.experiments.crossval import cross_validate
from boneseg.experiments.crossval_result import CrossValidation
from boneseg.recipes.builtin import load_recipe
from boneseg.recipes.recipe import Recipe
from boneseg.simulate import simulate
from tests.support.experiments import SMALL, recipe


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("phantoms")
    simulate(folder, 18, seed=7, size=(80, 96))
    return open_dataset(folder)


@pytest.fixture(scope="module")
def done(phantoms: Dataset, tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    return cross_validate(phantoms, recipe(), tmp_path_factory.mktemp("cv") / "run", folds=3)


@pytest.fixture(scope="module")
def base() -> Recipe:
    return load_recipe("default").with_settings(SMALL)
