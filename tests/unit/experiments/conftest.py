"""Fixtures that these tests share."""

from __future__ import annotations

import os

import pytest
from filelock import FileLock

from boneseg.dataset.open import Dataset, open_dataset
from boneseg.experiments.crossval import cross_validate
from boneseg.experiments.crossval_result import CrossValidation
from boneseg.recipes.builtin import load_recipe
from boneseg.recipes.recipe import Recipe
from boneseg.simulate import simulate
from tests.support.experiments import SMALL, recipe


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("phantoms")
    simulate(folder, 18, seed=7, size=(80, 96))
    return open_dataset(folder)


@pytest.fixture(scope="session")
def done(phantoms: Dataset, tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    """Trained by the first test process that needs it; another one resumes it, and only reads."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    with FileLock(folder / "cross-validation.lock"):
        out = folder / "cross-validation"
        return cross_validate(phantoms, recipe(), out, folds=3, resume=out.exists())


@pytest.fixture(scope="module")
def base() -> Recipe:
    return load_recipe("default").with_settings(SMALL)
