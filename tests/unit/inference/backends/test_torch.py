"""PyTorch runs a bundle at any size and for any number of films."""

from __future__ import annotations

import numpy as np
import pytest

from boneseg.bundle.store import Bundle
from boneseg.inference.backends.torch import Torch


@pytest.fixture(scope="module")
def backend(bundle: Bundle) -> Torch:
    return Torch(bundle, at_once=2)


@pytest.mark.parametrize("shape", [(1, 1, 64, 96), (3, 1, 96, 64)])
def test_it_answers_with_a_probability_for_each_pixel(
    backend: Torch, shape: tuple[int, int, int, int]
) -> None:
    films = np.random.default_rng(0).random(shape, np.float32)
    backend.prepare(shape)
    found = backend(films)
    assert (found.shape, found.dtype) == (shape, np.float32)
    assert 0 <= found.min() < found.max() <= 1


def test_a_film_gives_the_same_result_alone_and_in_a_batch(backend: Torch) -> None:
    films = np.random.default_rng(1).random((3, 1, 64, 64), np.float32)
    alone = np.concatenate([backend(film[None]) for film in films])
    np.testing.assert_allclose(backend(films), alone, atol=2e-2)


def test_it_says_what_it_runs_on(backend: Torch) -> None:
    assert backend.name.startswith("PyTorch ")
