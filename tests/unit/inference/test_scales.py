"""A film is also seen on further grids, and their probabilities are averaged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from boneseg.bundle.shipped import sample_films
from boneseg.bundle.store import Bundle
from boneseg.inference.engine import Engine
from boneseg.inference.scales import averaged, bone_width, carried
from boneseg.preprocessing import Floats, Preparation, fitted
from boneseg.radiograph.discovery import find_radiographs
from boneseg.radiograph.read import read_radiograph

COARSER, FINER = 0.8, 1.25


def engine(bundle: Bundle, *scales: float) -> Engine:
    return Engine(
        replace(bundle, card=replace(bundle.card, scales=scales, thin=0.0, outlines=None))
    )


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
    found, where = averaged([(coarse, place), (fine, finer_place)])
    assert where == finer_place
    window = finer_place.window(found)
    assert window[2, 2] == 0 and window[13, 13] == 1
    assert window[2, 13] == window[13, 2] == 0.5
    assert (found[:, :2] == 0).all() and (fine[:8] == 0).all()
    assert (carried(fine, finer_place, finer_place) == finer_place.window(fine)).all()
    alone, where = averaged([(coarse, place)])
    assert alone is coarse and where == place


def test_a_film_no_larger_than_the_working_grid_has_no_finer_one(bundle: Bundle) -> None:
    small = np.random.default_rng(3).random((300, 330), dtype=np.float32)
    plain, both = (engine(bundle, *scales).probability(small) for scales in ((), (FINER,)))
    assert (plain == both).all()


def test_further_grids_are_as_large_as_their_scale_and_finer_ones_no_larger_than_the_film(
    bundle: Bundle,
) -> None:
    card = replace(bundle.card, scales=(2.0, 0.5))
    bundle = replace(bundle, card=card)
    own = card.height * card.width
    for size in ((340, 340), (500, 500), (128, 1024), (3000, 2500)):
        coarse, fine = bundle.further(size)
        assert coarse.height * coarse.width == pytest.approx(own / 4, rel=0.25)
        assert fine.height * fine.width == pytest.approx(min(size[0] * size[1], own * 4), rel=0.15)
    fixed = replace(bundle, card=replace(card, fitted=False, outlines=None))
    assert fixed.further((3000, 2500)) == []


@pytest.mark.parametrize("scale", [COARSER, FINER])
def test_a_large_film_is_the_mean_of_its_grids_and_its_verdict_that_of_the_first(
    bundle: Bundle, film: Floats, scale: float
) -> None:
    plain, both = (engine(bundle, *scales).find(film) for scales in ((), (scale,)))
    side = round(320 * scale)
    card = replace(bundle.card, height=side, width=side, scales=(), thin=0.0, outlines=None)
    other = Engine(replace(bundle, card=card)).find(film)
    mean = (plain.probability + other.probability) / 2
    assert np.abs(both.probability - mean).mean() < 0.002
    assert both.verdict == plain.verdict
    assert both.mask.shape == film.shape


def test_the_same_film_has_the_same_mask_each_time(bundle: Bundle, film: Floats) -> None:
    one, other = (engine(bundle, COARSER, FINER).probability(film) for _ in range(2))
    assert (one == other).all()


def test_thin_bone_is_seen_on_the_finer_grid_and_other_bone_on_the_coarser_one(
    bundle: Bundle,
) -> None:
    card = replace(bundle.card, scales=(COARSER, FINER), thin=12.0)
    coarse, fine = Bundle(bundle.path, card).further((900, 700))
    assert Bundle(bundle.path, card).further((900, 700), 11.9) == [fine]
    assert Bundle(bundle.path, card).further((900, 700), 12.0) == [coarse]
    assert Bundle(bundle.path, card).further((200, 300), 1.0) == [
        fitted((200, 300), round(card.height * card.width * COARSER**2))
    ]  # no finer one is possible
    whatever = Bundle(bundle.path, replace(card, thin=0.0))
    assert whatever.further((900, 700), 1.0) == [coarse, fine]


@pytest.mark.parametrize("thin", [0.001, 1000.0])
def test_the_width_of_the_bone_on_the_working_grid_decides(
    bundle: Bundle, film: Floats, thin: float
) -> None:
    chosen = FINER if thin > 1 else COARSER
    card = replace(bundle.card, scales=(COARSER, FINER), thin=thin, outlines=None)
    both = Engine(replace(bundle, card=card)).find(film)
    alone = engine(bundle, chosen).find(film)
    assert (both.probability == alone.probability).all() and (both.mask == alone.mask).all()


def test_the_width_of_bone_is_that_of_strips_and_half_that_of_squares() -> None:
    mask = np.zeros((400, 400), bool)
    assert bone_width(mask) == 0
    mask[:, 100:107] = True
    assert bone_width(mask) == 7
    mask[:, 200:221] = True
    assert bone_width(mask) == 14
    square = np.zeros((400, 400), bool)
    square[50:90, 60:100] = True
    assert bone_width(square) == 20


@pytest.mark.parametrize("scale", [0.1, 5.0, float("nan")])
def test_a_scale_out_of_range_is_refused(bundle: Bundle, scale: float) -> None:
    with pytest.raises(ValueError, match="out of range"):
        replace(bundle.card, scales=(1.25, scale))
    with pytest.raises(ValueError, match="out of range"):
        replace(bundle.card, thin=-scale)
