"""Grey values: of colours, on one scale, in little memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from boneseg.errors import RadiographError
from boneseg.radiograph.greyscale import (
    _full_scale,
    blocks,
    colourfulness,
    grey_of,
    percentiles,
    sample,
    stretch,
    to_unit,
)
from boneseg.radiograph.read import read_radiograph
from tests.support import films
from tests.support.pictures import GREY, saved


def photograph() -> np.ndarray:
    """Fields of colour under uneven light, as sky, grass, skin and a red coat would be."""
    light = np.linspace(0.4, 1, 96)[:, None, None]
    colours = np.array([[90, 140, 230], [60, 150, 50], [220, 170, 140], [200, 30, 40]])
    return (np.repeat(colours, 24, axis=0)[None] * light).astype(np.uint8)


def test_a_colour_photograph_is_refused(tmp_path):
    for suffix in ("png", "jpg"):
        with pytest.raises(RadiographError, match="is a colour photograph, not a radiograph"):
            read_radiograph(saved(tmp_path / f"a.{suffix}", photograph()))


@pytest.mark.parametrize("toning", [(1, 1, 1), (0.75, 0.85, 1), (1, 0.85, 0.65)])
def test_toned_and_lettered_films_are_no_photographs(tmp_path, toning):
    film = np.rint(films.bone(128, 128, 255)[..., None] * toning).astype(np.uint8)
    film[4:20, 4:24] = 255, 30, 30  # 2 % of the film
    read_radiograph(saved(tmp_path / "a.png", film))
    read_radiograph(saved(tmp_path / "a.jpg", film, quality=60))


def test_colourfulness_is_measured():
    assert colourfulness(np.stack([GREY] * 3, -1), 255) == 0
    assert colourfulness(photograph(), 255) > 0.3


@given(arrays(np.uint8, (16, 16)))
def test_equal_bands_are_that_grey(grey):
    rgb = np.stack([grey] * 3, -1)
    np.testing.assert_allclose(grey_of(rgb, Path("a")), to_unit(grey), atol=1e-6)


@given(
    st.sampled_from([np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64]).flatmap(
        lambda dtype: arrays(dtype, (4, 5))
    )
)
def test_all_values_are_scaled_to_between_0_and_1(values):
    with np.errstate(all="ignore"):
        unit = to_unit(values)
    assert unit.dtype == np.float32 and unit.shape == values.shape
    assert (unit >= 0).all() and (unit <= 1).all()


@given(arrays(np.uint16, (6, 6)))
def test_brighter_stays_brighter(values):
    for unit in (to_unit(values), stretch(values)):
        order = np.argsort(values.ravel(), kind="stable")
        assert (np.diff(unit.ravel()[order]) >= 0).all()


def test_a_flat_film_is_black_when_stretched():
    assert (stretch(np.full((20, 20), 7.0)) == 0).all()


def test_values_are_stretched_in_little_memory():
    """A film of 100 million pixels takes its own memory and that of the result, not thrice that."""
    tracemalloc.start()
    values = np.tile(np.arange(4096, dtype=np.uint16), (1000, 1))
    tracemalloc.reset_peak()
    unit = stretch(values)
    used = tracemalloc.get_traced_memory()[1] - values.nbytes
    tracemalloc.stop()
    assert used < 2 * unit.nbytes + 32e6  # the sample for the percentiles, and a million values
    assert unit.min() == 0 and unit.max() == 1


@given(arrays(np.int16, 200, elements=st.integers(-9, 9)), st.floats(0, 50), st.floats(50, 100))
def test_percentiles_of_counted_levels_are_those_of_the_values(values, low, high):
    levels, counts = np.unique(values, return_counts=True)
    turned = np.random.default_rng(0).permutation(len(levels))
    found = percentiles(levels[turned], counts[turned], (low, high))
    assert found == pytest.approx(np.percentile(values, (low, high)), abs=1e-6)


@pytest.mark.parametrize(
    ("values", "top"),
    [
        (np.array([False, True]), 1),
        (np.array([3], np.uint8), 255),
        (np.array([0, 255], np.uint16), 255),
        (np.array([0, 256], np.uint16), 1023),
        (np.array([0, 1023], np.int32), 1023),
        (np.array([0, 1024], np.uint16), 4095),
        (np.array([0, 4096], np.uint16), 16383),
        (np.array([0, 16384], np.uint16), 65535),
        (np.array([0, 65535], np.uint32), 65535),
        (np.array([0, 65536], np.uint32), None),
        (np.array([-1, 3], np.int16), None),
        (np.array([0.0, 1.0]), 1),
        (np.array([0.5, 0.6]), 1),
        (np.array([-0.1, 1.0]), None),
        (np.array([0.0, 1.1]), None),
        (np.array([0.0, np.nan]), None),
    ],
)
def test_the_white_level_is_that_of_the_smallest_depth(values, top):
    assert _full_scale(values) == top
    if top is not None:
        np.testing.assert_allclose(to_unit(values), values / top, rtol=1e-6)


def test_values_are_stretched_by_the_percentiles_of_those_that_count():
    values = np.arange(1001.0)
    expected = np.clip((values - 5) / 990, 0, 1)
    np.testing.assert_allclose(stretch(values), expected, atol=1e-6)
    odd = np.append(values, [np.nan, np.inf, -np.inf])
    np.testing.assert_allclose(stretch(odd), [*expected, 0, 1, 0], atol=1e-6)
    ignored = np.append(values, [9000.0] * 500)
    found = stretch(ignored, ignored == 9000)
    np.testing.assert_allclose(found, [*expected, *[1] * 500], atol=1e-6)
    counts = np.append(np.ones(1001, int), [0])
    found = stretch(np.append(values, 10**9), counts=counts)
    np.testing.assert_allclose(found, [*expected, 1], atol=1e-6)


def test_a_film_of_nearly_one_value_is_stretched_between_its_ends():
    values = np.zeros(1000)
    values[:2] = 4, 8
    assert stretch(values)[:3].tolist() == [0.5, 1, 0]
    assert stretch(np.array([0.0, 4, 8]), counts=np.array([998, 1, 1])).tolist() == [0, 0.5, 1]
    assert not stretch(np.full(9, np.nan)).any()


@pytest.mark.parametrize("shape", [(3000, 1000), (1, 3_000_000), (3_000_000, 1), (5, 3)])
def test_blocks_are_all_rows_in_order(shape):
    values = np.empty(shape, np.uint8)
    found = [index for part in blocks(values) for index in range(*part.indices(len(values)))]
    assert found == list(range(len(values)))
    widest = max(len(range(*part.indices(len(values)))) for part in blocks(values))
    assert widest * shape[1] <= max(1_000_000, shape[1])


def test_a_sample_is_evenly_spaced_and_finite():
    many = np.arange(4_000_000, dtype=np.uint32).reshape(2000, 2000)
    taken = sample(many)
    assert set(np.diff(taken)) == {5} and taken[0] == 0
    assert set(np.diff(sample(many, many % 2 == 1))) == {10}
    few = np.array([[1.0, np.nan], [3.0, np.inf]])
    assert sample(few).tolist() == [1, 3]
    assert sample(few, np.array([[True, False], [False, False]])).tolist() == [3]


def test_luma_is_of_itu_r_bt_601():
    for top, kind in ((255, np.uint8), (4095, np.uint16), (2**20, np.uint32)):
        for band, weight in enumerate((0.299, 0.587, 0.114)):
            rgb = np.zeros((50, 50, 3), kind)
            rgb[0, 0] = top  # white
            rgb[1, 1:4, band] = top
            luma = grey_of(rgb, Path("a"))
            assert luma[0, 0] == pytest.approx(1) and luma.max() <= 1
            np.testing.assert_allclose(luma[1, 1:4], weight, rtol=1e-5)
            assert luma.sum() == pytest.approx(1 + 3 * weight, rel=1e-5)
