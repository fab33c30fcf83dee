"""Backends agree, and the first installed one is chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from boneseg.bundle.shipped import sample_films
from boneseg.bundle.store import Bundle
from boneseg.errors import UsageError
from boneseg.evaluation.scores import score
from boneseg.inference.backends import BACKENDS, suitable
from boneseg.inference.engine import Engine
from boneseg.radiograph.discovery import find_radiographs
from boneseg.radiograph.read import read_radiograph


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "boneseg"


def test_every_backend_finds_the_same_bones(bundle: Bundle) -> None:
    engines = {name: Engine(bundle, backend=name) for name in BACKENDS}
    assert all(engine.name for engine in engines.values())
    film = read_radiograph(find_radiographs([sample_films()])[0])
    found = {name: engine.find(film.pixels) for name, engine in engines.items()}
    for finding in found.values():
        assert score(finding.mask, found["torch"].mask, None).dice > 0.995
        assert np.abs(finding.probability - found["torch"].probability).mean() < 0.005


def test_the_choice_is_openvino_where_there_is_no_cuda() -> None:
    torch = pytest.importorskip("torch")
    assert suitable() == ("torch" if torch.cuda.is_available() else "openvino")


def test_an_unknown_or_missing_engine_is_named(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="--engine tensorrt: is not known; choose from openvino"):
        Engine(bundle, backend="tensorrt")
    monkeypatch.setattr("boneseg.inference.backends.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="not installed; pip install onnxruntime"):
        Engine(bundle, backend="onnxruntime")
