"""OpenVINO says what it runs on; test_base.py holds it to the contract of all backends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from boneseg.bundle.store import Bundle
from boneseg.inference.backends import openvino
from boneseg.inference.backends.base import ANY
from boneseg.inference.backends.openvino import OpenVino


def test_it_says_what_it_runs_on(bundle: Bundle) -> None:
    assert OpenVino(bundle, at_once=2).name.startswith("OpenVINO ")


def test_networks_of_several_grids_are_loaded_at_once(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "OFTEN", 0)
    backend, both = OpenVino(bundle), Barrier(2)
    load = backend._loaded

    def met(shape: tuple[int, ...]) -> object:
        both.wait(timeout=30)
        return load(shape)

    monkeypatch.setattr(backend, "_loaded", met)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(backend.prepare, [(1, 1, 32, 32), (1, 1, 32, 64)]))
    assert len(backend._networks) == 2


def test_a_network_takes_films_of_any_size_until_it_is_compiled_for_one_that_is_met_often(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "OFTEN", 3)
    backend, rng = OpenVino(bundle), np.random.default_rng(0)
    often, seldom = (rng.random((2, 1, 64, side), np.float32) for side in (64, 96))
    first = backend(often)
    assert backend(seldom).shape == seldom.shape
    assert list(backend._networks) == [(ANY, 1, ANY, ANY)]
    for _ in range(3):
        np.testing.assert_array_equal(backend(often), first)
    assert list(backend._networks) == [(ANY, 1, ANY, ANY), often.shape]


def test_processes_that_share_the_cores_do_not_pin_their_threads_to_the_same_ones(
    bundle: Bundle,
) -> None:
    shared = OpenVino(bundle, threads=1)
    shared(np.zeros((1, 1, 64, 64), np.float32))
    assert shared._settings["ENABLE_CPU_PINNING"] == "NO"
    assert "ENABLE_CPU_PINNING" not in OpenVino(bundle)._settings
