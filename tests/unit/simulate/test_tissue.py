"""The tissues along a ray."""

from __future__ import annotations

import numpy as np
import pytest

from boneseg.simulate.tissue import VOXEL, Atlas
from tests.support.simulation import at


def test_a_body_is_of_muscle_fat_and_air(atlas: Atlas) -> None:
    tissue = atlas.vary(np.random.default_rng(1))
    total = tissue.muscle + tissue.fat
    assert total.max() < 1.9 and tissue.body.max() <= 1
    deep_lung = atlas.lung > 25
    assert tissue.muscle[deep_lung].mean() < 0.8 * tissue.body[deep_lung].mean()
    assert tissue.body.min() >= 0 and min(tissue.muscle.min(), tissue.fat.min()) >= 0


def test_the_path_through_the_body_is_its_thickness(atlas: Atlas) -> None:
    tissue = atlas.vary(np.random.default_rng(5))
    frame = np.array([[0.0, 0, -1], [0, -1, 0], [-1, 0, 0]])  # from the front
    column = tissue.body[:, at(atlas, (0, 200, 0))[1], at(atlas, (0, 0, 0))[2]]
    for scale in (1.0, 0.6):
        body, _, _ = tissue.project(
            "torso", np.eye(4), np.full(3, scale), frame,
            scale * np.array([0.0, 200, 0]), (41, 41), 2.0, 3000,
        )  # fmt: skip
        assert body[20, 20] == pytest.approx(scale * VOXEL * column.sum(), rel=0.06)
