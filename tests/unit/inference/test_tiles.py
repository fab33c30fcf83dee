"""Tiles cover a film without a seam."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boneseg.inference.tiles import MAGNIFIED, magnified, tiled
from boneseg.preprocessing import Preparation


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "boneseg"


@given(height=st.integers(40, 200), width=st.integers(40, 200), tile=st.sampled_from([32, 40, 64]))
def test_tiles_cover_a_grid_without_a_seam(height: int, width: int, tile: int) -> None:
    grid = np.random.default_rng(height * width).random((height, width), np.float32)
    own = Preparation(min(tile, height), min(tile, width))
    seen = []

    def network(window: np.ndarray) -> np.ndarray:
        seen.append(window.shape)
        return window

    assert np.allclose(tiled(network, grid, own), grid, atol=1e-5)
    assert set(seen) == {(own.height, own.width)}


@given(height=st.integers(16, 3000), width=st.integers(16, 3000))
def test_a_film_is_magnified_only_up_to_its_resolution(height: int, width: int) -> None:
    grid = Preparation(256, 192)
    place = grid.place((height, width))
    finer = magnified(grid, place)
    if finer is None:
        assert place.height >= 0.9 * height or place.width >= 0.9 * width
        return
    laid = finer.place((height, width))
    assert laid.height <= height + 1 and laid.width <= width + 1
    assert laid.height <= MAGNIFIED * place.height + 2
