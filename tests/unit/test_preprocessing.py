"""A film goes to the working grid and comes back without a shift."""

from __future__ import annotations

import math
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from boneseg.evaluation.scores import score
from boneseg.preprocessing import (
    Preparation,
    Stretched,
    _first_factor,
    _is_coarse,
    fitted,
    in_squares,
    locally_normalised,
    means,
    resize,
    resized,
    standardised,
)
from boneseg.radiograph.grey import Grey

sides = st.integers(20, 300)


def disc(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    radius = min(height, width) / 3
    return (rows - height / 2 + 0.5) ** 2 + (columns - width / 2 + 0.5) ** 2 < radius**2


@settings(max_examples=60)
@given(height=sides, width=sides, tall=sides, wide=sides)
def test_the_aspect_is_kept_and_the_film_fits_in_the_centre(
    height: int, width: int, tall: int, wide: int
) -> None:
    place = Preparation(tall, wide).place((height, width))
    below, right = tall - place.height - place.top, wide - place.width - place.left
    assert 0 <= place.top <= below <= place.top + 1
    assert 0 <= place.left <= right <= place.left + 1
    assert place.height == tall or place.width == wide
    scale = min(tall / height, wide / width)
    assert abs(place.height - height * scale) <= 1
    assert abs(place.width - width * scale) <= 1


@given(height=st.integers(100, 4000), width=st.integers(100, 4000))
def test_a_fitted_grid_has_the_films_shape_and_about_as_many_pixels(
    height: int, width: int
) -> None:
    """Large films shrink to the pixels asked for; small ones grow to twice that, and themselves."""
    pixels = 320 * 320
    grid = fitted((height, width), pixels)
    assert grid.height % 32 == 0 and grid.width % 32 == 0
    least, most = (grid.height - 16) * (grid.width - 16), (grid.height + 16) * (grid.width + 16)
    assert least <= (pixels if height * width >= pixels else 2 * pixels)
    assert most >= min(pixels, height * width)
    assert grid.height <= 2 * height + 16 and grid.width <= 2 * width + 16


def test_a_small_film_is_a_crop_and_grows() -> None:
    assert fitted((224, 224), 320 * 320) == Preparation(448, 448)
    assert fitted((256, 256), 320 * 320) == Preparation(384, 384)  # 320 / 256, squared
    assert fitted((320, 320), 320 * 320) == Preparation(320, 320)
    assert fitted((640, 640), 320 * 320) == Preparation(320, 320)


few = st.integers(1, 50)


@given(height=few, width=few, shorter=few, narrower=few)
def test_a_film_that_shrinks_is_averaged_over_its_area(
    height: int, width: int, shorter: int, narrower: int
) -> None:
    """As if every pixel were first divided into as many as divide evenly."""
    film = np.random.default_rng(0).random((height, width), np.float32)
    rows, columns = min(height, shorter), min(width, narrower)
    divided = np.repeat(np.repeat(film, rows, axis=0), columns, axis=1)
    expected = divided.reshape(rows, height, columns, width).mean(axis=(1, 3))
    assert np.allclose(resize(film, (rows, columns)), expected, atol=1e-5)


@given(height=st.integers(9, 90), width=st.integers(9, 90), rows=st.integers(1, 9), least=few)
def test_a_large_film_is_averaged_in_two_steps(
    height: int, width: int, rows: int, least: int
) -> None:
    """As if the film were of squares, each even: those at its edges are cut."""
    film = np.random.default_rng(0).random((height, width), np.float32)
    size = rows, max(1, rows * width // height)
    with patch("boneseg.preprocessing._MEANS", least):
        factor, found = _first_factor(film.shape), resize(film, size)
        coarse = _is_coarse(size, film.shape, factor)
    squares = np.repeat(np.repeat(Grey(film).reduced(factor), factor, axis=0), factor, axis=1)
    expected = resize(squares[:height, :width] if coarse else film, size)
    assert np.allclose(found, expected, atol=1e-5)


@given(least=few, data=st.data())
def test_a_size_does_not_depend_on_the_others(least: int, data: st.DataObject) -> None:
    """Which grids a film is averaged for at once depends on the film before it."""
    film = np.random.default_rng(0).random((90, 70), np.float32)
    sizes = data.draw(st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99)), min_size=1))
    with patch("boneseg.preprocessing._MEANS", least):
        for size, found in zip(sizes, resized(film, sizes), strict=True):
            assert np.array_equal(found, resize(film, size))


def test_only_a_large_film_that_shrinks_enough_has_two_steps() -> None:
    large = (4000, 3000)
    assert _first_factor(large) == 3 and _first_factor((2048, 2048)) == 1
    assert _is_coarse((576, 448), large, 3) and not _is_coarse((2000, 1500), large, 3)


@given(height=st.integers(2, 60), width=few, block=st.integers(1, 400), data=st.data())
def test_rows_are_summed_in_their_order(
    height: int, width: int, block: int, data: st.DataObject
) -> None:
    """Whatever the size of a block: a network in bfloat16 would show other rounding."""
    film = np.random.default_rng(0).random((height, width), np.float32)
    sizes = [(data.draw(st.integers(1, height - 1)), width) for _ in range(3)]
    with patch("boneseg.preprocessing._BLOCK", block):
        found = resized(film, sizes)
    for (rows, _), small in zip(sizes, found, strict=True):
        edges = (np.arange(rows + 1) * height / rows).tolist()
        for line, above, below in zip(small, edges[:-1], edges[1:], strict=True):
            first, last = math.floor(above), min(math.ceil(below), height) - 1
            total = film[first] * np.float32(first + 1 - above)
            for row in film[first + 1 : last]:
                total += row
            total += film[last] * np.float32(below - last)
            assert np.array_equal(line, total / np.float32(height / rows))


@settings(max_examples=60)
@given(
    height=st.integers(60, 300),
    width=st.integers(60, 300),
    kind=st.sampled_from([Preparation, Stretched]),
)
def test_there_and_back_moves_no_outline(height: int, width: int, kind: type[Preparation]) -> None:
    """Scaling by up to three costs at most a working pixel at the outline."""
    truth = disc(height, width)
    preparation = kind(128, 128)
    place = preparation.place((height, width))
    there = preparation.mask(truth, place)
    back = preparation.restore(there.astype(np.float32), place) >= 0.5
    assert back.shape == truth.shape
    assert score(back, truth).hd_px <= 1.5 * max(1.0, max(height, width) / 128) + 0.5


@settings(max_examples=40)
@given(height=st.integers(60, 300), width=st.integers(60, 300), aspect=st.floats(0.25, 4))
def test_oblong_pixels_are_squares_on_the_working_grid(
    height: int, width: int, aspect: float
) -> None:
    """What is round in the patient is round there, and comes back to where it was."""
    rows, columns = np.mgrid[:height, :width]
    tall = (rows - height / 2 + 0.5) * aspect
    radius = min(height * aspect, width) / 3
    truth = tall**2 + (columns - width / 2 + 0.5) ** 2 < radius**2
    preparation = Preparation(128, 128)
    place = preparation.place((height, width), aspect)
    there = preparation.mask(truth, place)
    high, wide = (int(there.any(axis=axis).sum()) for axis in (1, 0))
    step = max(place.height / height, place.width / width)  # a film's pixel, on the grid
    assert abs(high - wide) <= 2 + 2 * step
    back = preparation.restore(there.astype(np.float32), place) >= 0.5
    assert back.shape == truth.shape
    coarse = 1.5 * max(1.0, height / place.height, width / place.width) + 0.5
    assert score(back, truth).hd_px <= coarse


@settings(max_examples=20)
@given(gain=st.floats(0.1, 0.9), offset=st.floats(0, 0.1))
def test_exposure_makes_no_difference(gain: float, offset: float) -> None:
    film = np.random.default_rng(1).random((70, 90), dtype=np.float32)
    preparation = Preparation(64, 96)
    one, place = preparation.film(film)
    other, _ = preparation.film(film * np.float32(gain) + np.float32(offset))
    assert one.dtype == np.float32
    assert np.allclose(one, other, atol=1e-3)
    inside = one[place.top : place.top + place.height, place.left : place.left + place.width]
    assert abs(inside.mean()) < 1e-3
    assert abs(inside.std() - 1) < 1e-3


def test_a_blank_film_is_all_zero() -> None:
    grid, _ = Preparation(64, 64).film(np.full((50, 80), 0.4, np.float32))
    assert not grid.any()
    assert not locally_normalised(grid).any()


@given(gain=st.floats(0.05, 0.9), offset=st.floats(-1, 1))
def test_local_normalisation_raises_the_contrast_of_faint_regions(
    gain: float, offset: float
) -> None:
    texture = np.random.default_rng(0).normal(size=(128, 256)).astype(np.float32)
    film = standardised(np.hstack([texture, np.float32(gain) * texture + np.float32(offset)]))
    level = locally_normalised(film)
    assert abs(level.mean()) < 1e-3
    assert abs(level.std() - 1) < 1e-3

    def halves(pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return pixels[:, 64:192], pixels[:, 320:448]  # away from the seam

    (clear, faint), (clear_before, faint_before) = halves(level), halves(film)
    assert faint_before.std() / clear_before.std() < faint.std() / clear.std() <= 1
    assert abs(faint.mean() - clear.mean()) < 0.05 + 0.1 * abs(offset)


def test_local_normalisation_treats_rows_and_columns_alike() -> None:
    film = np.random.default_rng(0).random((64, 256), np.float32) ** 3
    level = locally_normalised(film)
    assert np.allclose(locally_normalised(np.ascontiguousarray(film.T)).T, level, atol=1e-4)


def test_a_bone_smaller_than_a_pixel_of_the_grid_does_not_vanish() -> None:
    mask = np.zeros((640, 640), bool)
    preparation = Preparation(32, 32)
    place = preparation.place((640, 640))
    assert not preparation.mask(mask, place).any()
    mask[325:328, 203:205] = True
    assert np.argwhere(preparation.mask(mask, place)).tolist() == [[16, 10]]


@pytest.mark.parametrize(
    ("aspect", "squares"),
    [(1, (100, 80)), (1.5, (150, 80)), (2.5, (250, 80)), (0.5, (100, 160)), (0.4, (100, 200))],
)
def test_neither_side_shrinks_in_square_pixels(aspect: float, squares: tuple[int, int]) -> None:
    assert in_squares((100, 80), aspect) == squares


@pytest.mark.parametrize("kind", [Preparation, Stretched])
def test_pixels_are_square_unless_told(kind: type[Preparation]) -> None:
    assert kind(64, 64).place((100, 80)) == kind(64, 64).place((100, 80), 1.0)
    assert kind(64, 64).place((100, 80)).square == (100, 80)


def test_a_probability_stays_one_where_it_is_enlarged() -> None:
    """Cubic interpolation goes beyond the values on both sides of an edge."""
    grid = np.zeros((32, 32), np.float32)
    grid[8:24, 8:24] = 1
    found = Preparation(32, 32).restore(grid, Preparation(32, 32).place((100, 100)))
    assert found.dtype == np.float32 and found.shape == (100, 100)
    assert (found.min(), found.max()) == (0, 1)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.bool_])
@pytest.mark.parametrize("size", [(6, 6), (3, 6), (6, 3), (3, 3), (9, 6), (9, 9)])
def test_a_film_of_any_type_is_resized_to_float32(kind: type, size: tuple[int, int]) -> None:
    found = resize(np.eye(6).astype(kind), size)
    assert found.dtype == np.float32 and found.shape == size and found.flags.c_contiguous


def means_of(film: np.ndarray, factor: int) -> np.ndarray:
    rows, columns = (range(0, side, factor) for side in film.shape)
    return np.array(
        [[film[y : y + factor, x : x + factor].mean() for x in columns] for y in rows], np.float64
    )


@pytest.mark.parametrize("kind", [np.float32, np.uint16, np.uint32])
@given(height=few, width=few, factor=st.integers(1, 60), block=st.integers(1, 500))
def test_means_are_those_of_squares_and_of_the_rest(
    kind: type, height: int, width: int, factor: int, block: int
) -> None:
    film = np.random.default_rng(0).integers(0, 25, (height, width)).astype(kind)
    with patch("boneseg.preprocessing._BLOCK", block):
        found = means(film.__getitem__, film.shape, factor, kind)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, means_of(film, factor), rtol=1e-5)


def test_bytes_are_summed_as_wider_integers() -> None:
    film = np.full((6, 6), 255, np.uint8)
    assert (means(film.__getitem__, film.shape, 3, np.uint16) == 255).all()
