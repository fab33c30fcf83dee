"""The mask of a film is divided into bones with names, which overlap where they do on the film."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from boneseg.inference.bones import CLAIM, LEAST, named_masks, namer_views
from boneseg.preprocessing import Placement, Stretched, fitted, locally_normalised, standardised

NAMES = ("femur", "tibia", "ribs")
HERE = Placement((8, 8), (8, 8), 0, 0, 8, 8)  # a film of the working grid's own size


def named(
    mask: NDArray[np.bool_], place: Placement = HERE, **levels: NDArray[np.float64] | float
) -> dict[str, NDArray[np.bool_]]:
    """Bones by name, of these probabilities; 0 for those that are not given."""
    maps = [np.broadcast_to(levels.get(name, 0.0), (8, 8)) for name in NAMES]
    return named_masks(np.stack(maps).astype(np.float32), place, mask, NAMES)


def rows(first: int, last: int, level: float = 1.0) -> NDArray[np.float64]:
    """A level in some rows of 8 x 8 pixels, 0 elsewhere."""
    grid = np.zeros((8, 8))
    grid[first:last] = level
    return grid


def test_bones_overlap_where_both_are_probable() -> None:
    found = named(rows(0, 8) > 0, femur=rows(0, 5), tibia=rows(3, 8))
    assert (found["femur"] == (rows(0, 5) > 0)).all() and (found["tibia"] == (rows(3, 8) > 0)).all()


def test_bones_stay_within_the_mask() -> None:
    mask = rows(2, 6) > 0
    found = named(mask, femur=rows(0, 8))
    assert (found["femur"] == mask).all()


def test_bones_that_are_not_on_the_film_are_left_out() -> None:
    assert list(named(rows(0, 8) > 0, femur=rows(0, 8), ribs=CLAIM - 0.01)) == ["femur"]
    assert named(rows(0, 4) > 0, femur=rows(4, 8)) == {}
    assert named(rows(0, 0) > 0, femur=1.0) == {}


def test_bone_that_none_claims_goes_to_the_most_probable_one_on_the_film() -> None:
    rim = rows(4, 8, 0.3)
    found = named(rows(0, 8) > 0, femur=rows(0, 4) + rim, tibia=rows(0, 1), ribs=rows(4, 8, 0.4))
    assert found["femur"].all() and list(found) == ["femur", "tibia"]


def test_bone_of_which_the_probabilities_say_nothing_has_no_name() -> None:
    found = named(rows(0, 8) > 0, femur=rows(0, 4) + rows(4, 8, LEAST / 2))
    assert (found["femur"] == (rows(0, 4) > 0)).all()


@pytest.mark.parametrize("side", [64, 100, 5])
def test_names_are_on_the_films_own_grid(side: int) -> None:
    place = Placement((side, side), (side, side), 1, 1, 6, 6)  # with a margin on the working grid
    found = named(np.ones((side, side), bool), place, femur=rows(0, 4), tibia=rows(4, 8))
    together = found["femur"] | found["tibia"]
    assert together.all() and abs(found["femur"].mean() - 0.5) < 0.12
    assert found["femur"][0].all() and found["tibia"][-1].all()


@pytest.mark.parametrize("film", [(400, 60), (90, 90)])
def test_the_film_fills_the_grid_of_the_names_and_its_mirror_image_too(
    film: tuple[int, int],
) -> None:
    pixels = np.random.default_rng(0).random(film).astype(np.float32)
    preparation = fitted(film, 64 * 64)
    grid, place = preparation.film(pixels)
    bone = np.zeros_like(grid)
    bone[: len(bone) // 2] = 1
    parts = np.array([0.7, 0.3], np.float32)
    size = Stretched(48, 32)
    for levels in (False, True):
        views, where = namer_views((grid, place), (bone, place), parts, size, levels=levels)
        assert views.shape == (2, 4, 48, 32) and where.film == film and where.size == (48, 32)
        second = locally_normalised(views[0, 0]) if levels else views[0, 0]
        assert np.array_equal(views[1, 0], second[:, ::-1])
        assert np.allclose(views[0, 0], standardised(views[0, 0]), atol=1e-5)
        assert (views[:, 1, :23] > 0.9).all() and (views[:, 1, 25:] < -0.9).all()
        assert np.array_equal(views[:, 2:], np.broadcast_to(parts[:, None, None], (2, 2, 48, 32)))
