"""Convolutions in NumPy equal those of torch."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from boneseg.inference.convolution import convolved, single_threaded


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
def test_a_convolution_is_that_of_torch(stride: int, size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3, 2, *size)).astype(np.float32)
    weight = rng.normal(size=(5, 3, 3, 3)).astype(np.float32)
    films = torch.from_numpy(features.swapaxes(0, 1))
    expected = torch.conv2d(films, torch.from_numpy(weight), None, stride, 1).numpy()
    found = convolved(features, weight, stride)
    assert np.abs(found - expected.swapaxes(0, 1)).max() < 1e-4


def test_threads_are_as_before_afterwards() -> None:
    before = [library["num_threads"] for library in threadpool_info()]
    with single_threaded():
        inside = [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]
    assert set(inside) <= {1}
    assert [library["num_threads"] for library in threadpool_info()] == before
