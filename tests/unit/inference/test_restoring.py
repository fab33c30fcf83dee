"""A mask grows to the film's grid as its probability does, at the price of its outline."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from boneseg.inference import restoring
from boneseg.inference.restoring import cubic_weights, restored_mask, undecided
from boneseg.preprocessing import Floats, Preparation, resize

sides, thresholds = st.integers(8, 300), st.sampled_from((0.0, 0.01, 0.3, 0.5, 0.9, 1.0))


def probability(height: int, width: int, seed: int, sharpness: float) -> Floats:
    """Smooth blobs; the sharper, the more of it is 0 or 1."""
    coarse = np.random.default_rng(seed).random((max(2, height // 6), max(2, width // 6)))
    smooth = resize(coarse.astype(np.float32), (height, width))
    return np.clip((smooth - 0.5) * sharpness + 0.5, 0, 1)


@settings(max_examples=80, deadline=None)
@given(sides, sides, st.integers(2, 60), st.integers(2, 60), thresholds, st.integers(0, 9))
@example(300, 20, 40, 40, 0.5, 0)  # averaged across, interpolated down
@example(10, 10, 60, 60, 0.5, 1)
def test_it_is_the_mask_of_the_restored_probability(
    height: int, width: int, tall: int, wide: int, threshold: float, seed: int
) -> None:
    preparation = Preparation(tall, wide)
    place = preparation.place((height, width))
    grid = probability(tall, wide, seed, sharpness=(1, 4, 20)[seed % 3])
    expected = preparation.restore(grid, place)
    mask = restored_mask(grid, place, threshold)
    sure = abs(expected - threshold) > 1e-6  # else rounding decides
    assert mask.shape == (height, width) and mask.dtype == np.bool_
    assert np.array_equal(mask[sure], (expected >= threshold)[sure])


def test_only_cells_at_the_outline_are_interpolated(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks, interpolated = restoring._blocks, 0

    def counted(cells: np.ndarray) -> list[tuple[int, int, int, int]]:
        nonlocal interpolated
        found = list(blocks(cells))
        interpolated = sum((bottom - top) * (right - left) for top, bottom, left, right in found)
        return found

    monkeypatch.setattr(restoring, "_blocks", counted)
    preparation = Preparation(128, 128)
    rows, columns = np.mgrid[:128, :128]
    grid = (np.hypot(rows - 64, columns - 64) < 40).astype(np.float32)
    place = preparation.place((1280, 1280))
    mask = restored_mask(grid, place, 0.5)
    assert np.array_equal(mask, preparation.restore(grid, place) >= 0.5)
    assert 0 < interpolated < 0.2 * 129**2


@given(st.integers(0, 20), thresholds.filter(lambda threshold: threshold > 0))
def test_the_mask_changes_only_in_undecided_cells(seed: int, threshold: float) -> None:
    """A pass that refines the outline finds all of it there."""
    grid = probability(30, 40, seed, sharpness=6)
    place = Preparation(30, 40).place((30 * 8, 40 * 8))
    mask, cells = restored_mask(grid, place, threshold), undecided(grid, place, threshold)
    assert cells.shape == (31, 41)
    whole = np.repeat(np.repeat(cells, 8, axis=0), 8, axis=1)[4:-4, 4:-4]
    edge = np.zeros_like(mask)
    edge[1:] |= mask[1:] != mask[:-1]
    edge[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    near = whole | np.roll(whole, 1, axis=0) | np.roll(whole, 1, axis=1)
    assert near[edge].all()


def test_a_mask_without_an_outline_is_constant() -> None:
    place = Preparation(32, 32).place((400, 300))
    for value in (0.0, 0.2, 1.0):
        grid = np.full((32, 32), value, np.float32)
        assert not undecided(grid, place, 0.5).any()
        assert (restored_mask(grid, place, 0.5) == (value >= 0.5)).all()


@given(old=st.integers(1, 50), more=st.integers(1, 50))
def test_the_weights_of_an_enlargement_are_those_of_resize(old: int, more: int) -> None:
    line = np.random.default_rng(0).random((old, 1), np.float32)
    taps, weights = cubic_weights(old, old + more)
    enlarged = (line[np.clip(taps, 0, old - 1), 0] * weights).sum(axis=0)
    assert np.allclose(enlarged, resize(line, (old + more, 1))[:, 0], atol=1e-5)
    assert weights.dtype == np.float32 and np.allclose(weights.sum(axis=0), 1, atol=1e-6)
    assert not weights[(taps < 0) | (taps >= old)].any()
