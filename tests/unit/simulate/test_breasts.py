"""Breasts on the chest of a volume."""

from __future__ import annotations

import numpy as np
import pytest

from boneseg.simulate.breasts import BESIDE, FEMALE, LEVEL, Breasts, draw_breasts
from boneseg.simulate.tissue import VOXEL, Atlas

SOME = Breasts(thick=40, tall=60, wide=50, sag=10, beside=(-BESIDE, BESIDE))


def added(atlas: Atlas, breasts: Breasts = SOME) -> tuple[np.ndarray, np.ndarray]:
    """Voxels that become body, and where gland is."""
    origin = atlas.rest["torso"][:3, 3]
    depth, gland = breasts.on(atlas.depth, atlas.first, origin, VOXEL)
    assert (depth >= atlas.depth).all() and depth.shape == gland.shape == atlas.depth.shape
    return (depth > 0) & (atlas.depth <= 0), gland


def test_half_of_the_subjects_have_breasts_of_many_sizes() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_breasts(rng) for _ in range(400)]
    there = [one for one in drawn if one is not None]
    assert len(there) / len(drawn) == pytest.approx(FEMALE, abs=0.1)
    thick = np.array([one.thick for one in there])
    assert np.percentile(thick, 90) > 2.5 * np.percentile(thick, 10)
    assert all(one.beside[0] < 0 < one.beside[1] for one in there)


def test_they_stand_out_in_front_of_both_sides_of_the_chest(atlas: Atlas) -> None:
    new, gland = added(atlas)
    assert new.any() and gland.any()
    assert (gland <= (new | (atlas.depth > 0))).all()
    front, up, right = np.nonzero(new)
    origin = atlas.rest["torso"][:3, 3]
    assert (atlas.first[0] + VOXEL * front > origin[0]).all()
    height = atlas.first[1] + VOXEL * up - origin[1] - LEVEL + SOME.sag
    assert np.abs(height).max() <= SOME.tall + VOXEL
    side = atlas.first[2] + VOXEL * right - origin[2]
    assert (side < 0).mean() == pytest.approx(0.5, abs=0.2)


def test_larger_ones_are_more_of_the_body_and_leave_air_in_front(atlas: Atlas) -> None:
    small, _ = added(atlas)
    large, _ = added(atlas, Breasts(400, 60, 50, 10, (-BESIDE, BESIDE)))
    assert large.sum() > small.sum()
    assert not large[-1].any()


def test_beside_the_volume_nothing_is_added(atlas: Atlas) -> None:
    new, gland = added(atlas, Breasts(40, 60, 50, 10, (-5000, 5000)))
    assert not new.any() and not gland.any()
