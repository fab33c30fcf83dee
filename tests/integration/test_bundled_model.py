"""The bundled model: small, free, and it finds the bones of unseen films."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boneseg.bundle.shipped import bundled, sample_films
from boneseg.bundle.store import load_bundle
from boneseg.dataset.load import read_films
from boneseg.dataset.open import open_dataset
from boneseg.inference.engine import Engine
from tests.support.command_line import boneseg
from tests.support.films import DATA, needs_data


def test_it_is_under_20_megabytes_and_free() -> None:
    size = sum(path.stat().st_size for path in bundled().iterdir())
    assert size < 20_000_000
    card = load_bundle(bundled()).card
    assert card.licence == "Apache-2.0"
    assert card.fitted and card.members == 1
    text = (bundled().parent / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "Not a medical device" in text and "CC BY 3.0" in text


def test_segment_finds_bones_without_a_model_being_named(tmp_path: Path) -> None:
    done = boneseg("segment", sample_films(), "--out", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert len(results) == len(list(sample_films().glob("*.png"))) >= 4
    for result in results:
        film = np.asarray(Image.open(result["input"]))
        mask = np.asarray(Image.open(tmp_path / result["outputs"]["mask"])) > 0
        assert mask.shape == film.shape
        assert 0.03 < mask.mean() < 0.7
        assert film[mask].mean() > film[~mask].mean()
        assert result["part"] == Path(result["input"]).stem


@needs_data
@pytest.mark.parametrize(
    ("films", "floor"),
    [("legs", 0.94), ("spine", 0.95), ("knee-femur", 0.94), ("knee-tibia", 0.93)],
)
def test_it_finds_what_is_labelled_on_real_films(films: str, floor: float, engine: Engine) -> None:
    found = [
        (engine.segment(film.radiograph.pixels) & film.mask).sum() / film.mask.sum()
        for film in read_films(open_dataset(DATA / films).cases[::10])
    ]
    assert np.mean(found) > floor
