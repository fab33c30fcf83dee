"""The ONNX file of a model gives the network's output, and holds no weight twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from boneseg.bundle.card import ONNX, WEIGHTS
from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle, load_network
from boneseg.inference.backends.onnxruntime import OnnxRuntime


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(bundled(), tmp_path_factory.mktemp("bundle") / "bones")


def test_it_answers_as_the_network(copied: Path) -> None:
    import torch

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
