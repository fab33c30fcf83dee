"""Grey values stay the integers of their file until they are used, and are the same then."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from boneseg.preprocessing import resize
from boneseg.radiograph.film import Radiograph
from boneseg.radiograph.grey import Grey, counts_of, extremes, has_levels, levels_of

SIZE = (40, 30)
TYPES = st.sampled_from((np.uint8, np.int8, np.uint16, np.int16))
stored_values = TYPES.flatmap(lambda kind: arrays(kind, SIZE))


def line(levels: NDArray[np.integer]) -> NDArray[np.float32]:
    return np.asarray((levels.astype(np.float64) + 40_000) / 110_000, np.float32)


def bent(levels: NDArray[np.integer]) -> NDArray[np.float32]:
    """A window that cuts off: averages of it are not the window of averages."""
    return np.clip(levels.astype(np.float32) / 50 + 0.5, 0, 1)


@pytest.mark.parametrize("curve", [line, bent])
@given(stored=stored_values)
def test_they_are_the_curve_of_each_stored_value(curve, stored: NDArray[np.integer]) -> None:
    grey = Grey.of_levels(stored, levels_of(stored), curve(levels_of(stored)))
    expected = curve(stored)
    assert np.array_equal(grey.pixels(), expected)
    assert np.allclose(grey.rows(slice(3, 9)), expected[3:9], atol=2e-6)
    assert np.allclose(grey.inverted().pixels(), 1 - expected, atol=1e-6)
    assert np.allclose(resize(grey, (7, 11)), resize(expected, (7, 11)), atol=1e-5)
    assert np.allclose(resize(grey, (50, 11)), resize(expected, (50, 11)), atol=1e-5)


@pytest.mark.parametrize("curve", [line, bent])
@given(stored=stored_values, factor=st.integers(1, 50))
def test_means_are_those_of_grey_values(curve, stored: NDArray[np.integer], factor: int) -> None:
    grey = Grey.of_levels(stored, levels_of(stored), curve(levels_of(stored)))
    for one in (grey, grey.inverted()):
        expected = Grey(one.pixels()).reduced(factor)
        assert np.allclose(one.reduced(factor), expected, atol=1e-5)


@given(seed=st.integers(0, 99), top=st.sampled_from((255, 4095, 65535)), factor=st.integers(1, 12))
def test_hidden_pixels_stay_black_in_means(seed: int, top: int, factor: int) -> None:
    stored = np.random.default_rng(seed).integers(0, top + 1, SIZE).astype(np.uint16)
    hidden = np.random.default_rng(seed).random(SIZE) < 0.3
    grey = Grey.of_levels(stored, levels_of(stored), line(levels_of(stored)), hidden)
    expected = Grey(np.where(hidden, 0, line(stored))).reduced(factor)
    assert np.allclose(grey.reduced(factor), expected, atol=1e-5)


@pytest.mark.parametrize("top", [2**12, 2**14, 2**16])
def test_no_sum_of_integers_overflows(top: int) -> None:
    """Of a film that is white, at the factors at which the type of sums changes."""
    stored = np.full((300, 300), top - 1, np.uint16)
    stored[0, 0] = 0
    grey = Grey.of_levels(stored, levels_of(stored), levels_of(stored) / np.float32(top - 1))
    for factor in (1, 2, 3, 4, 5, 60, 150, 256, 257, 300):
        assert np.allclose(grey.reduced(factor).ravel()[1:], 1, atol=1e-4)
    assert grey.reduced(300) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_hidden_pixels_are_black_inverted_or_not(kind: type) -> None:
    stored = np.ones(SIZE, kind)
    hidden = np.zeros(SIZE, bool)
    hidden[5:] = True
    if kind is np.float32:
        grey = Grey(stored, hidden=hidden)
    else:
        grey = Grey.of_levels(stored, levels_of(stored), np.ones(1, np.float32), hidden)
    for pixels in (grey.pixels(), grey.rows(slice(None))):
        assert (pixels[:5] == 1).all() and (pixels[5:] == 0).all()
    assert (grey.inverted().pixels() == 0).all()
    assert (stored == 1).all()


def test_grey_values_of_any_type_are_handed_out_as_float32() -> None:
    for stored in (np.eye(4), np.eye(4, dtype=bool), np.eye(4, dtype=np.float32)):
        pixels = Grey(stored).pixels()
        assert pixels.dtype == np.float32 and np.array_equal(pixels, np.eye(4))


@given(stored=stored_values)
def test_levels_are_counted(stored: NDArray[np.integer]) -> None:
    assert has_levels(stored) and not has_levels(stored.astype(np.int32))
    levels = levels_of(stored)
    occurring, counts = np.unique(stored, return_counts=True)
    found = counts_of(stored, levels)
    assert np.array_equal(levels[found > 0], occurring)
    assert np.array_equal(found[found > 0], counts)


def test_a_film_makes_its_pixels_once_and_only_where_they_are_used() -> None:
    stored = np.arange(1200, dtype=np.uint16).reshape(SIZE)
    grey = Grey.of_levels(stored, levels_of(stored), line(levels_of(stored)))
    film = Radiograph.stored(grey, (0.1, 0.2), "detector", Path("knee.png"), frame=2)
    assert film.shape == SIZE and "pixels" not in vars(film)
    assert np.array_equal(film.pixels, line(stored)) and film.pixels is film.pixels
    turned = replace(film, pixels=film.pixels[:, ::-1])
    assert np.array_equal(turned.grey.pixels(), line(stored)[:, ::-1])
    assert (turned.spacing_mm, turned.frame) == ((0.1, 0.2), 2)
    with pytest.raises(AttributeError, match="colour"):
        film.colour  # noqa: B018


def test_a_large_film_is_reduced_in_little_memory() -> None:
    stored = np.random.default_rng(0).integers(0, 4096, (3000, 2000), np.uint16)
    for curve in (line, bent):
        grey = Grey.of_levels(stored, levels_of(stored), curve(levels_of(stored)))
        tracemalloc.start()
        resize(grey, (300, 200))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < stored.nbytes  # in float32 the film has twice as many bytes


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (3, 300_000), (600, 1000), (7, 40_000)])
@pytest.mark.parametrize("kind", [np.uint8, np.int16])
def test_the_extremes_of_a_film_of_any_shape_are_found(shape: tuple[int, int], kind: type) -> None:
    low, high = (5, 250) if kind is np.uint8 else (-300, 400)
    for place in ((0, 0), (shape[0] - 1, shape[1] - 1), (shape[0] // 2, shape[1] // 2)):
        stored = np.full(shape, 9, kind)
        stored[place] = low
        assert extremes(stored) == (low, 9)
        stored[place] = high
        assert extremes(stored) == (9, high)


@pytest.mark.parametrize(
    ("kind", "few"),
    [
        *((kind, True) for kind in (np.uint8, np.int8, np.uint16, np.int16)),
        *((kind, False) for kind in (np.uint32, np.int32, np.float16, np.float32, np.bool_)),
    ],
)
def test_values_of_8_or_16_bits_are_few_enough_for_a_table(kind: type, few: bool) -> None:
    assert has_levels(np.zeros((2, 2), kind)) == few


def test_levels_are_all_values_between_the_extremes_in_the_type_of_the_film() -> None:
    for kind in (np.int8, np.uint16):
        levels = levels_of(np.array([[9, 5], [7, 5]], kind))
        assert levels.dtype == kind and levels.tolist() == [5, 6, 7, 8, 9]
    assert levels_of(np.array([[-1, 1]], np.int16)).tolist() == [-1, 0, 1]
    assert len(levels_of(np.array([[-32768, 32767]], np.int16))) == 65536


def test_levels_that_do_not_occur_are_counted_as_none() -> None:
    stored = np.array([[-2, 3, 3]], np.int8)
    assert counts_of(stored, levels_of(stored)).tolist() == [1, 0, 0, 0, 0, 2]
    assert counts_of(stored[:, :1], levels_of(stored)).tolist() == [1, 0, 0, 0, 0, 0]


def test_rows_are_the_films_own_unless_some_are_hidden() -> None:
    stored = np.ones((4, 3), np.float32)
    assert Grey(stored).shape == (4, 3)
    assert np.shares_memory(Grey(stored).rows(slice(1, 3)), stored)
    hidden = np.zeros((4, 3), bool)
    hidden[2, 1] = True
    rows = Grey(stored, hidden=hidden).rows(slice(1, 4))
    assert rows.tolist() == [[1, 1, 1], [1, 0, 1], [1, 1, 1]]
    assert stored.all()


def test_a_film_is_inverted_in_float32_and_twice_is_itself() -> None:
    stored = np.array([[0, 0.25, 1]], np.float64)
    levels = np.array([[0, 1, 3]], np.uint8)
    table = np.linspace(0, 1, 256, dtype=np.float32)
    for grey in (Grey(stored), Grey(levels, table)):
        inverted = grey.inverted()
        assert inverted.pixels().dtype == np.float32
        np.testing.assert_allclose(inverted.pixels(), 1 - grey.pixels(), atol=1e-7)
        np.testing.assert_allclose(inverted.inverted().pixels(), grey.pixels(), atol=1e-7)
