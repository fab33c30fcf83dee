"""The evidence is the film and its predictions on a small grid, however large the film is."""

from __future__ import annotations

import numpy as np
import pytest

from boneseg.inference.verdict.evidence import (
    BAND,
    FACTS,
    MAPS,
    SIDE,
    Evidence,
    certainty,
    predictions,
)
from boneseg.preprocessing import Preparation

FILM, NORMALISED, PROBABILITY, MASK, DIFFERENCE = range(len(MAPS))


def seen(height: int, width: int, views: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    preparation = Preparation(320, 320)
    grid, place = preparation.film(rng.random((height, width), np.float32))
    found = np.zeros((views, 320, 320), np.float32)
    found[:, : 320 // 2] = 0.9  # the upper half is bone
    found[0, 300:] = 0.8  # the first view sees more
    evidence = predictions(grid, place, found, 0.5).evidence(place.width / place.height)
    return evidence.maps, evidence.facts


@pytest.mark.parametrize("size", [(320, 320), (1024, 128), (40, 900), (2000, 1500)])
def test_any_film_gives_maps_of_one_size(size: tuple[int, int]) -> None:
    maps, facts = seen(*size)
    assert maps.shape == (len(MAPS), SIDE, SIDE) and facts.shape == (len(FACTS),)
    assert maps.dtype == facts.dtype == np.float32
    assert np.isfinite(maps).all() and np.abs(maps).max() <= 3
    assert facts[0] == pytest.approx(np.log2(size[1] / size[0]), abs=0.15)


def test_the_maps_are_the_mask_and_the_difference_of_the_views() -> None:
    maps, facts = seen(320, 320)
    assert (maps[MASK][:40] == 1).all() and (maps[MASK][60:80] == -1).all()
    assert maps[PROBABILITY][0, 0] == pytest.approx(0.8)  # 2 x 0.9 - 1
    assert maps[DIFFERENCE][-1, 0] == pytest.approx(1.6) and maps[DIFFERENCE][0, 0] == 0
    assert facts[FACTS.index("share of bone")] == pytest.approx(0.5, abs=0.01)
    assert facts[FACTS.index("several views")] == 1


def test_a_single_view_has_no_difference() -> None:
    maps, facts = seen(320, 320, views=1)
    assert not maps[DIFFERENCE].any()
    assert (facts[FACTS.index("agreement")], facts[FACTS.index("several views")]) == (0, 0)


def test_exposure_and_contrast_do_not_matter() -> None:
    rng = np.random.default_rng(1)
    film = rng.random((200, 200), np.float32)
    views = np.zeros((1, 320, 320), np.float32)
    maps = [
        predictions(*Preparation(320, 320).film(pixels), views, 0.5).evidence(1.0).maps
        for pixels in (film, 0.3 + 0.2 * film)
    ]
    assert np.abs(maps[0] - maps[1]).max() < 1e-3


def sure(inside: float, beside: float, far: float, mask: np.ndarray) -> float:
    """The certainty of a model with these probabilities of bone in a mask, beside it, and afar."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    bone = np.argwhere(mask)
    away = np.full((SIDE, SIDE), SIDE)
    for row, column in bone:
        away = np.minimum(away, np.abs(rows - row) + np.abs(columns - column))
    probability = np.where(mask, inside, np.where(away <= BAND, beside, far))
    maps = np.zeros((len(MAPS), SIDE, SIDE), np.float32)
    maps[PROBABILITY], maps[MASK] = 2 * probability - 1, 2 * mask - 1
    return certainty(Evidence(maps, np.zeros(len(FACTS), np.float32)))


def test_certainty_is_the_probability_of_what_the_mask_says_in_it_and_close_beside_it() -> None:
    mask = np.zeros((SIDE, SIDE))
    mask[20:60, 40:50] = mask[0, 0] = 1
    assert sure(1.0, 0.0, 0.5, mask) == pytest.approx(1)
    assert sure(0.8, 0.0, 0.5, mask) == pytest.approx(0.9)
    assert sure(0.8, 0.3, 0.0, mask) == pytest.approx(0.75)


def test_certainty_of_a_mask_without_bone_or_of_bone_alone_is_a_number() -> None:
    assert sure(0, 0, 0.4, np.zeros((SIDE, SIDE))) == 0.75
    assert sure(0.9, 0, 0, np.ones((SIDE, SIDE))) == pytest.approx(0.95)
