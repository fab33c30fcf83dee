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
from boneseg.radiograph.greyscale import colourfulness, grey_of, percentiles, stretch, to_unit
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
