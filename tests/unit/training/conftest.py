"""Fixtures that these tests share."""

from __future__ import annotations

import pytest

from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import Bundle, load_bundle
from boneseg.dataset.open import Dataset, open_dataset
from boneseg.simulate import simulate


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("phantoms")
    simulate(folder, 16, seed=5, size=(96, 96))
    return open_dataset(folder)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """The bundled model."""
    return load_bundle(bundled())
