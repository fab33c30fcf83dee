"""The ONNX file of a model gives the network's output, and holds no weight twice."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from boneseg.bundle import onnx as module
from boneseg.bundle.card import NAMES_ONNX, ONNX, OUTLINE_ONNX, WEIGHTS
from boneseg.bundle.onnx import export
from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle, load_network
from boneseg.inference.backends.onnxruntime import OnnxRuntime


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(bundled(), tmp_path_factory.mktemp("bundle") / "bones")


def test_it_answers_as_the_network(copied: Path) -> None:
    bundle = load_bundle(copied)
    films = np.random.default_rng(0).random((2, 1, 96, 64), np.float32)
    with torch.no_grad():
        expected = load_network(bundle).float()(torch.from_numpy(films)).sigmoid().numpy()
    np.testing.assert_allclose(OnnxRuntime(bundle)(films), expected, atol=0.02)


def test_weights_that_both_files_have_stand_in_one(copied: Path) -> None:
    model = onnx.load(copied / ONNX, load_external_data=False)
    outside = [one for one in model.graph.initializer if one.external_data]
    places = [
        entry.value for one in outside for entry in one.external_data if entry.key == "location"
    ]
    assert set(places) == {WEIGHTS}
    assert not any(one.raw_data for one in outside)
    assert (copied / ONNX).stat().st_size < (copied / WEIGHTS).stat().st_size


def test_no_file_contains_paths_of_the_machine_that_exported_it(copied: Path) -> None:
    for name in (ONNX, NAMES_ONNX, OUTLINE_ONNX):
        assert b".py" not in (copied / name).read_bytes()


class Filter(torch.nn.Module):
    """A convolution, of which an attribute changes what it computes."""

    def __init__(self, size: int = 1, *, doubled: bool = False) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 1, size, padding=size // 2)
        self.doubled = doubled

    def forward(self, film: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layer(film)
        return found * 2 if self.doubled else found


def answers(network: Filter, path: Path) -> bool:
    """Whether the ONNX file of a network answers as it does."""
    export(network, path, (1, 8, 8), fitted=False)
    assert b".py" not in path.read_bytes()
    films = np.random.default_rng(0).random((3, 1, 8, 8), np.float32)
    (found,) = onnxruntime.InferenceSession(path).run(None, {"film": films})
    with torch.no_grad():
        expected = network(torch.from_numpy(films)).sigmoid().numpy()
    return bool(np.allclose(found, expected, atol=1e-6))


def test_networks_of_one_architecture_are_exported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have their own weights, and a network of any other architecture its own graph."""
    monkeypatch.setattr(module, "_graphs", OrderedDict())
    exported = []
    one_graph = module._exported

    def counted(*words: Any) -> bytes:
        exported.append(words)
        return one_graph(*words)

    monkeypatch.setattr(module, "_exported", counted)
    networks = [Filter(), Filter(), Filter(doubled=True), Filter(3), Filter()]
    assert all(answers(network, tmp_path / "model.onnx") for network in networks)
    assert len(exported) == 3
    monkeypatch.setattr(module, "KEPT", 1)
    assert answers(Filter(3), tmp_path / "model.onnx") and len(module._graphs) == 1
