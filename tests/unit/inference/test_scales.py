"""A film larger than the working grid is also seen on a finer grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from boneseg.bundle.shipped import sample_films
from boneseg.bundle.store import Bundle
from boneseg.inference.engine import Engine
from boneseg.inference.scales import averaged, carried
from boneseg.preprocessing import Floats, Preparation
from boneseg.radiograph.discovery import find_radiographs
from boneseg.radiograph.read import read_radiograph

SIDE = 1.25


def engine(bundle: Bundle, finer: float) -> Engine:
    return Engine(replace(bundle, card=replace(bundle.card, finer=finer)))


@pytest.fixture
def film() -> Floats:
    pixels = read_radiograph(find_radiographs([sample_films()])[0]).pixels
    return np.kron(pixels, np.ones((2, 2), np.float32))[:700, :600]


def test_the_mean_of_two_grids_lies_on_the_finer_one() -> None:
    grid, finer = Preparation(8, 8), Preparation(16, 20)
    place, finer_place = grid.place((16, 16)), finer.place((16, 16))
    coarse, fine = np.zeros((8, 8), np.float32), np.zeros((16, 20), np.float32)
    coarse[:, 4:] = 1
    finer_place.window(fine)[8:] = 1
    found = averaged(coarse, place, fine, finer_place)
    window = finer_place.window(found)
    assert window[2, 2] == 0 and window[13, 13] == 1
    assert window[2, 13] == window[13, 2] == 0.5
    assert (found[:, :2] == 0).all() and (fine[:8] == 0).all()
    assert (carried(fine, finer_place, finer_place) == finer_place.window(fine)).all()


def test_a_film_no_larger_than_the_working_grid_is_seen_on_it_alone(bundle: Bundle) -> None:
    small = np.random.default_rng(3).random((300, 330), dtype=np.float32)
    assert bundle.finer((300, 330)) is None
    plain, both = (engine(bundle, finer).probability(small) for finer in (1.0, SIDE))
    assert (plain == both).all()


def test_the_finer_grid_has_no_more_pixels_than_the_film(bundle: Bundle) -> None:
    card = replace(bundle.card, finer=2.0)
    bundle = replace(bundle, card=card)
    for size in ((340, 340), (500, 500), (128, 1024), (3000, 2500)):
        grid = bundle.finer(size)
        assert grid is not None
        most = min(size[0] * size[1], card.height * card.width * 4)
        assert grid.height * grid.width == pytest.approx(most, rel=0.15)
    fixed = replace(bundle, card=replace(card, fitted=False))
    assert fixed.finer((3000, 2500)) is None


def test_a_large_film_is_the_mean_of_both_grids_and_its_verdict_that_of_the_first(
    bundle: Bundle, film: Floats
) -> None:
    plain, both = (engine(bundle, finer).find(film) for finer in (1.0, SIDE))
    card = replace(bundle.card, height=round(320 * SIDE), width=round(320 * SIDE), finer=1.0)
    fine = Engine(replace(bundle, card=card)).find(film)
    mean = (plain.probability + fine.probability) / 2
    assert np.abs(both.probability - mean).mean() < 0.002
    assert both.verdict == plain.verdict
    assert both.mask.shape == film.shape


def test_the_same_film_has_the_same_mask_each_time(bundle: Bundle, film: Floats) -> None:
    one, other = (engine(bundle, SIDE).probability(film) for _ in range(2))
    assert (one == other).all()


@pytest.mark.parametrize("finer", [0.5, 5.0, float("nan")])
def test_a_scale_out_of_range_is_refused(bundle: Bundle, finer: float) -> None:
    with pytest.raises(ValueError, match="out of range"):
        replace(bundle.card, finer=finer)
