"""The contract of phantom radiographs."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion

from boneseg.errors import UsageError
from boneseg.simulate import PARTS, Film, phantom_film


@pytest.fixture(scope="module")
def films() -> list[Film]:
    return [phantom_film(seed, (160, 160)) for seed in range(60)]


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (96, 320), (333, 128)])
def test_a_film_has_the_requested_size_and_kind(size: tuple[int, int]) -> None:
    film = phantom_film(3, size)
    assert film.pixels.shape == film.mask.shape == size
    assert film.pixels.dtype == np.float32 and film.mask.dtype == np.bool_
    assert 0 <= film.pixels.min() < film.pixels.max() <= 1
    assert film.mask.any() and not film.mask.all()


def test_one_seed_gives_one_film_to_the_byte() -> None:
    one, two, other = phantom_film(11, (128, 96)), phantom_film(11, (128, 96)), phantom_film(12)
    assert one.pixels.tobytes() == two.pixels.tobytes()
    assert one.mask.tobytes() == two.mask.tobytes()
    assert (one.part, one.view) == (two.part, two.view)
    assert one.view != other.view


def test_every_part_occurs(films: list[Film]) -> None:
    assert {film.part for film in films} == set(PARTS)
    assert {film.view.side for film in films} == {"L", "R"}


def test_films_differ_in_bone_share_and_brightness(films: list[Film]) -> None:
    shares = np.array([film.mask.mean() for film in films])
    assert shares.min() > 0.03 and shares.max() < 0.7
    assert shares.max() > 2.5 * shares.min()
    assert np.std([film.pixels.mean() for film in films]) > 0.04


def test_bone_is_brighter_than_the_flesh_beside_it(films: list[Film]) -> None:
    steps = []
    for film in films:
        inside = film.mask & ~binary_erosion(film.mask, iterations=4)
        outside = binary_dilation(film.mask, iterations=4) & ~film.mask
        steps.append(film.pixels[inside].mean() - film.pixels[outside].mean())
    assert min(steps) > 0.0
    assert np.mean(steps) > 0.05


def test_the_mask_lies_where_the_bone_does(films: list[Film]) -> None:
    def step(film: Film, shift: int) -> float:
        mask = np.roll(film.mask, (shift, shift), (0, 1))
        edge = binary_dilation(mask, iterations=2) & ~binary_erosion(mask, iterations=2)
        return float(film.pixels[edge & mask].mean() - film.pixels[edge & ~mask].mean())

    aligned = np.mean([step(film, 0) for film in films])
    assert aligned > 1.3 * max(np.mean([step(film, shift) for film in films]) for shift in (-2, 2))


def test_a_film_too_small_is_refused() -> None:
    with pytest.raises(UsageError, match="too small"):
        phantom_film(0, (16, 256))
