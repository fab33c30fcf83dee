"""Heads have the skin of the atlas over the skull, a nose, and a throat in front of the spine."""

import numpy as np
import pytest

from boneseg.simulate.head import VOXEL, Head, read_head
from boneseg.simulate.tissue import Atlas
from tests.support.simulation import BONES


def index_of(head: Head, *point: float) -> tuple[int, ...]:
    return tuple(np.rint((np.array(point) - head.first) / VOXEL).astype(int).tolist())


def test_flesh_covers_the_skull_thinly(atlas: Atlas) -> None:
    _, (x, y, z), (front, up, right) = BONES["skull"]
    body = atlas.head.vary(np.random.default_rng(0)).body
    for side in np.array([(-front, 0, 0), (0, up, 0), (0, 0, right), (0, 0, -right)]):
        bone = np.array((x, y, z)) + side
        assert body[index_of(atlas.head, *bone)] > 0.9
        assert body[index_of(atlas.head, *bone + 13 * side / np.linalg.norm(side))] < 0.1


def test_nose_and_chin_stand_out(atlas: Atlas) -> None:
    face = BONES["skull"][1][0] + BONES["skull"][2][0]
    before = atlas.head.depth[round((face + 14 - atlas.head.first[0]) / VOXEL)] > 0
    _, right = np.nonzero(before)
    assert before.any() and np.ptp(right) * VOXEL < 25
    _, (x, y, z), (front, _, _) = BONES["jaw"]
    assert atlas.head.depth[index_of(atlas.head, x + front, y, z)] > 4


def test_head_and_trunk_share_the_neck(atlas: Atlas) -> None:
    levels = atlas.first[1] + 4.0 * np.arange(len(atlas.share))
    head = np.interp(levels, atlas.head.levels, atlas.head.share)
    above = levels > 200
    assert np.allclose((atlas.share + head)[above], 1, atol=1e-6)
    assert head.max() == 1


def test_the_throat_is_air_in_front_of_the_spine(atlas: Atlas) -> None:
    tissue = atlas.head.vary(np.random.default_rng(0))
    middle = tissue.muscle.shape[2] // 2
    level = int((540 - atlas.head.first[1]) / VOXEL)
    front = BONES["spine"][1][0] + BONES["spine"][2][0]
    along = atlas.head.first[0] + VOXEL * np.arange(tissue.muscle.shape[0])
    near = (along > front) & (along < front + 40)
    solid = tissue.muscle[near, level, middle] + tissue.fat[near, level, middle]
    assert solid.min() < 0.3 and solid.max() > 0.7
    assert np.all(tissue.muscle + tissue.fat <= tissue.body.max() * 1.15)


def test_one_seed_gives_one_head_and_noses_differ(atlas: Atlas) -> None:
    first, same, other = (atlas.head.vary(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first.muscle, same.muscle)
    face = round((BONES["skull"][2][0] + 12 - atlas.head.first[0]) / VOXEL)
    assert first.body[face:].sum() != pytest.approx(other.body[face:].sum(), rel=0.02)


def test_a_skin_without_a_face_is_refused() -> None:
    angle, up = np.random.default_rng(0).uniform((0, 0), (2 * np.pi, 400), (100_000, 2)).T
    pipe = np.stack([100 * np.cos(angle), up, 100 * np.sin(angle)], axis=1)
    with pytest.raises(ValueError, match="no face"):
        read_head(pipe, pipe, pipe, pipe, {})
