"""The contract of every backend, and its error for a network that cannot run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from boneseg.bundle.store import Bundle
from boneseg.errors import BundleError
from boneseg.inference.backends.base import Backend, cannot_run
from boneseg.inference.backends.onnxruntime import OnnxRuntime
from boneseg.inference.backends.openvino import OpenVino
from boneseg.inference.backends.torch import Torch


@pytest.fixture(scope="module", params=[OpenVino, OnnxRuntime, Torch])
def backend(bundle: Bundle, request: pytest.FixtureRequest) -> Backend:
    made: Backend = request.param(bundle, at_once=2)
    return made


@pytest.mark.parametrize("shape", [(1, 1, 64, 96), (3, 1, 96, 64)])
def test_a_backend_returns_a_probability_for_each_pixel(
    backend: Backend, shape: tuple[int, int, int, int]
) -> None:
    films = np.random.default_rng(0).random(shape, np.float32)
    backend.prepare(shape)
    found = backend(films)
    assert (found.shape, found.dtype) == (shape, np.float32)
    assert 0 <= found.min() < found.max() <= 1


def test_a_film_gives_the_same_result_alone_and_in_a_batch(backend: Backend) -> None:
    films = np.random.default_rng(1).random((3, 1, 64, 64), np.float32)
    alone = np.concatenate([backend(film[None]) for film in films])
    np.testing.assert_allclose(backend(films), alone, atol=2e-2)


def test_the_error_names_the_bundle_the_backend_and_the_size() -> None:
    error = cannot_run(Path("bones/model.onnx"), "OpenVINO", (1, 1, 64, 96))
    assert isinstance(error, BundleError)
    assert str(error) == (
        "bones: OpenVINO cannot run its model.onnx at 64 x 96; copy the bundle again"
    )
    assert " at " not in str(cannot_run(Path("bones/model.onnx"), "ONNX Runtime", None))
