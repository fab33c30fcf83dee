"""The vessels of the lungs fill them, and their shadow weighs what they do."""

from __future__ import annotations

import numpy as np
import pytest

from boneseg.simulate.tissue import VOXEL, Atlas
from boneseg.simulate.vessels import Vessels, grow_vessels

FRONTAL = np.array([[0.0, 0, -1], [0, -1, 0], [-1, 0, 0]])
FAR = 1e7  # mm: rays are parallel


@pytest.fixture(scope="module")
def vessels(atlas: Atlas) -> Vessels:
    return grow_vessels(np.random.default_rng(3), atlas.lung, atlas.first, VOXEL)


def volume(vessels: Vessels) -> float:
    length = np.linalg.norm(vessels.end - vessels.start, axis=1)
    return float((np.pi * vessels.radius**2 * length).sum())


def test_vessels_fill_both_lungs(atlas: Atlas, vessels: Vessels) -> None:
    at = np.rint(vessels.end / VOXEL).astype(int)
    assert (atlas.lung[tuple(at.T)] > -VOXEL).mean() > 0.95
    right = vessels.end[:, 2] + atlas.first[2] > 0
    assert 0.2 < right.mean() < 0.8
    lung = np.argwhere(atlas.lung > 2) * VOXEL
    for axis in range(3):
        assert np.ptp(vessels.end[:, axis]) > 0.8 * np.ptp(lung[:, axis])


def test_vessels_grow_narrower_as_they_divide(vessels: Vessels) -> None:
    assert 0.2 < vessels.radius.min() < 0.6 < 5 * vessels.radius.min() < vessels.radius.max() <= 5
    assert np.median(vessels.radius) < 2 * vessels.radius.min()


@pytest.mark.parametrize(("scale", "distance"), [(1.0, FAR), (0.6, FAR), (1.0, 4000.0)])
def test_the_shadow_has_the_volume_of_the_vessels(
    vessels: Vessels, scale: float, distance: float
) -> None:
    middle = (vessels.end.min(0) + vessels.end.max(0)) / 2
    film = vessels.project(FRONTAL / scale, middle, (500, 500), 1.0, distance)
    assert film.shape == (500, 500) and film.min() >= 0
    assert film.sum() == pytest.approx(scale**3 * volume(vessels), rel=0.02)


def test_a_vessel_is_as_thick_as_it_is_wide() -> None:
    one = Vessels(np.array([[0.0, -50, 0]]), np.array([[0.0, 50, 0]]), np.array([2.0]))
    film = one.project(FRONTAL, np.zeros(3), (101, 101), 0.5, FAR)
    assert film[50].max() == pytest.approx(4, rel=0.25)
    assert np.argmax(film[50]) == 50 and film[50, :40].max() < 0.05


def test_a_wide_vessel_among_narrow_ones_is_no_denser() -> None:
    """Each is as sharp as its own width lets it be."""
    narrow = np.array([[0.0, up, 8.0 * side] for side in range(8) for up in (-40, 40)])
    both = Vessels(
        np.concatenate([narrow, [[0.0, -50, -30]]]),
        np.concatenate([narrow + np.array([0, 5, 0]), [[0.0, 50, -30]]]),
        np.array([0.4] * len(narrow) + [5.0]),
    )
    film = both.project(FRONTAL, np.zeros(3), (301, 301), 0.5, FAR)
    assert film.max() == pytest.approx(10, rel=0.25)


def test_a_subject_has_the_vessels_of_its_own_lungs(atlas: Atlas) -> None:
    with_lungs, again = (atlas.vary(np.random.default_rng(4)) for _ in range(2))
    assert with_lungs.vessels is not None and again.vessels is not None
    assert np.array_equal(with_lungs.vessels.end, again.vessels.end)
    nothing = grow_vessels(
        np.random.default_rng(0), np.full((9, 9, 9), -1, np.float32), np.zeros(3), VOXEL
    )
    assert not len(nothing.radius)
    assert not nothing.project(FRONTAL, np.zeros(3), (20, 20), 1.0, FAR).any()
