"""OpenVINO says what it runs on; test_base.py holds it to the contract of all backends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import numpy as np
import pytest

from boneseg.bundle.card import NAMES_ONNX, OUTLINE_ONNX
from boneseg.bundle.store import Bundle
from boneseg.errors import BundleError
from boneseg.inference.backends import openvino
from boneseg.inference.backends.base import ANY, KEPT
from boneseg.inference.backends.openvino import OpenVino


def test_it_says_what_it_runs_on(bundle: Bundle) -> None:
    assert OpenVino(bundle, at_once=2).name.startswith("OpenVINO ")


def test_networks_of_several_grids_are_loaded_at_once(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "OFTEN", 0)
    backend, both = OpenVino(bundle), Barrier(2)
    load = backend._loaded

    def met(shape: tuple[int, ...], first: tuple[int, ...]) -> object:
        both.wait(timeout=30)
        return load(shape, first)

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


def test_the_network_for_any_size_keeps_its_place_among_those_of_frequent_sizes(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "OFTEN", 2)
    backend = OpenVino(bundle)
    films = [np.zeros((1, 1, 32, 32 * side), np.float32) for side in range(1, KEPT + 4)]
    for _ in range(4):
        for one in films:
            backend(one)
    own = [one.shape for one in films[: KEPT - 1]]
    assert sorted(backend._networks) == [(ANY, 1, ANY, ANY), *own]


def test_a_size_keeps_the_network_for_any_if_its_own_cannot_be_compiled(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "OFTEN", 2)
    backend, film = OpenVino(bundle), np.zeros((1, 1, 64, 64), np.float32)
    load, tried = backend._loaded, []

    def loaded(shape: tuple[int, ...], first: tuple[int, ...]) -> object:
        tried.append(shape)
        if ANY not in shape:
            raise BundleError("there is no process to read it")
        return load(shape, first)

    monkeypatch.setattr(backend, "_loaded", loaded)
    answers = [backend(film) for _ in range(5)]
    assert tried == [(ANY, 1, ANY, ANY), film.shape]
    assert all((one == answers[0]).all() for one in answers)


def test_a_nested_network_is_compiled_for_each_size(bundle: Bundle) -> None:
    """Its answers would differ in the last bits, and depend on how many films came before."""
    nested = replace(bundle.card, architecture={"architecture": "unetplusplus"})
    assert OpenVino(bundle).any_size
    assert not OpenVino(replace(bundle, card=nested)).any_size
    stretched = replace(bundle.card, fitted=False, outlines=None)
    assert not OpenVino(replace(bundle, card=stretched)).any_size
    assert not OpenVino(bundle, file=NAMES_ONNX).any_size
    assert OpenVino(replace(bundle, card=nested), file=OUTLINE_ONNX).any_size


def test_processes_that_share_the_cores_do_not_pin_their_threads_to_the_same_ones(
    bundle: Bundle,
) -> None:
    shared = OpenVino(bundle, threads=1)
    shared(np.zeros((1, 1, 64, 64), np.float32))
    assert shared._settings["ENABLE_CPU_PINNING"] == "NO"
    assert "ENABLE_CPU_PINNING" not in OpenVino(bundle)._settings
