"""int8 models, where they are as good."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from boneseg.bundle.card import INT8
from boneseg.bundle.store import Bundle, load_bundle
from boneseg.dataset.load import read_films
from boneseg.dataset.open import open_dataset
from boneseg.inference.engine import Engine
from boneseg.recipes.recipe import Recipe
from boneseg.simulate import simulate
from boneseg.training import quantise as int8
from boneseg.training.quantise import quantise, sampled
from boneseg.training.train import train


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "boneseg"


def test_a_bundle_is_quantised_if_as_accurate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of a training too short for the Dice to say anything: any loss is allowed."""
    pytest.importorskip("nncf")
    monkeypatch.setattr(int8, "LOSS", 1.0)
    simulate(tmp_path / "films", 6, size=(96, 96))
    words = ["run.epochs=2", "network.width=8"]
    run = train(open_dataset(tmp_path / "films"), Recipe().with_settings(words), tmp_path / "run")
    bundle = run.save(tmp_path / "run" / "bundle")
    found = quantise(bundle, run.training, run.validation)
    assert capsys.readouterr().out == ""
    assert found.kept
    whole = load_bundle(tmp_path / "run")
    assert INT8 in whole.card.files
    assert "int8" in Engine(whole).name
    assert not [path for path in (tmp_path / "run").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("count", [1, 300, 301, 599, 600, 1000])
def test_the_scales_are_taken_from_films_of_the_whole_set(count: int) -> None:
    found: list[Any] = sampled(range(count))  # type: ignore[arg-type]
    assert min(count, 150) <= len(found) <= 300
    assert found[-1] >= count - len(range(0, count, 300))


def test_int8_that_is_worse_is_left_out(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf")
    shutil.copytree(bundle.path, tmp_path / "bundle")
    simulate(tmp_path / "films", 3, size=(96, 96))
    films = read_films(open_dataset(tmp_path / "films").cases)
    monkeypatch.setattr(int8, "LOSS", -1.0)  # nothing is good enough
    before = {path.name: path.read_bytes() for path in (tmp_path / "bundle").iterdir()}
    found = quantise(load_bundle(tmp_path / "bundle"), films, films)
    assert not found.kept
    assert abs(found.int8_dice - found.dice) < 0.1
    assert {path.name: path.read_bytes() for path in (tmp_path / "bundle").iterdir()} == before
