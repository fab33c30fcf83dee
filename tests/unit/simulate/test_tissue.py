"""The tissues along a ray."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from boneseg.simulate import tissue
from boneseg.simulate.breasts import BESIDE, Breasts
from boneseg.simulate.tissue import BLADDER, VOXEL, Atlas
from tests.support.simulation import at


def test_a_body_is_of_muscle_fat_and_air(atlas: Atlas) -> None:
    one = atlas.vary(np.random.default_rng(1))
    total = one.muscle + one.fat
    assert total.max() < 1.9 and one.body.max() <= 1
    deep_lung = atlas.lung > 25
    assert one.muscle[deep_lung].mean() < 0.8 * one.body[deep_lung].mean()
    assert one.body.min() >= 0 and min(one.muscle.min(), one.fat.min()) >= 0


def test_the_path_through_the_body_is_its_thickness(atlas: Atlas) -> None:
    one = atlas.vary(np.random.default_rng(5))
    frame = np.array([[0.0, 0, -1], [0, -1, 0], [-1, 0, 0]])  # from the front
    column = one.body[:, at(atlas, (0, 200, 0))[1], at(atlas, (0, 0, 0))[2]]
    for scale in (1.0, 0.6):
        body, _, _ = one.project(
            "torso", np.eye(4), np.full(3, scale), frame,
            scale * np.array([0.0, 200, 0]), (41, 41), 2.0, 3000,
        )  # fmt: skip
        assert body[20, 20] == pytest.approx(scale * VOXEL * column.sum(), rel=0.06)


def test_breasts_are_of_fat_and_gland_and_leave_the_rest_as_it_is(
    atlas: Atlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    some, found = Breasts(40, 60, 50, 10, (-BESIDE, BESIDE)), []
    for drawn in (None, some):
        monkeypatch.setattr(tissue, "draw_breasts", lambda rng, drawn=drawn: drawn)
        found.append(atlas.vary(np.random.default_rng(7)))
    plain, full = found
    new = (full.body > 0.99) & (plain.body < 0.01)
    old = (plain.body > 0.99) & ~binary_dilation(new, iterations=3)
    assert new.any() and full.fat[new].mean() > 0.5 and full.muscle[new].max() > 0.1
    assert full.fat[old].mean() == pytest.approx(plain.fat[old].mean(), rel=0.05)


def test_a_bladder_is_sometimes_full_of_contrast_medium(
    atlas: Atlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    organ = np.where(atlas.organ == 1, len(atlas.names) + 1, 0).astype(np.uint8)
    bladder = replace(atlas, organ=organ, names=(*atlas.names, BLADDER))
    inside = (organ > 0) & (atlas.lung < 0) & ~atlas.airways & (atlas.depth > 30)
    found = []
    for share in (0.0, 1.0):
        monkeypatch.setattr(tissue, "OPAQUE", share)
        found.append(bladder.vary(np.random.default_rng(3)).muscle[inside].max())
    assert found[0] < 1.1 < found[1]
