"""Pelvis and legs of other people stand where the skeleton's own do."""

from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree

from boneseg.errors import UsageError
from boneseg.simulate import skeleton_film
from boneseg.simulate.atlas_bones import with_atlas_bones
from boneseg.simulate.skeleton import Bone, Skeleton
from boneseg.simulate.surface import Surface
from tests.support.films import needs_data
from tests.support.simulation import MESHES

REPLACED = {"sacrum"} | {
    f"{side}_{name}" for side in "rl" for name in ("pelvis", "femur", "tibia", "patella")
}


@needs_data
def test_two_bodies_bring_pelvis_and_legs_of_their_own(skeletons: list[Skeleton]) -> None:
    whole, hand = skeletons
    others = with_atlas_bones(MESHES.parents[1] / "organs", whole)
    assert len(others) == 2
    for other in others:
        changed = [
            (own, new)
            for own, new in zip(whole.bones, other.bones, strict=True)
            if own.surface is not new.surface
        ]
        assert {own.name for own, _ in changed} == REPLACED
        for own, new in changed:
            away, _ = cKDTree(own.surface.points).query(new.surface.points)
            assert away.mean() < 12, own.name  # mm: in its place, and turned as it is
            sides = np.sort(new.surface.triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2))
            _, counts = np.unique(sides, axis=0, return_counts=True)
            assert (counts % 2 == 0).all(), own.name  # closed: the path of each ray is known
            assert new.surface.volume > 0
    assert with_atlas_bones(MESHES.parents[1] / "organs", hand) == ()


@needs_data
def test_films_show_each_of_these_people(skeletons: list[Skeleton]) -> None:
    whole = skeletons[0]
    others = with_atlas_bones(MESHES.parents[1] / "organs", whole)
    mixed = [
        skeleton_film(seed, (64, 64), [whole], "knee", others=[others]).mask for seed in range(4)
    ]
    alone = [skeleton_film(seed, (64, 64), [whole], "knee").mask for seed in range(4)]
    assert any(a.shape != b.shape or (a != b).any() for a, b in zip(mixed, alone, strict=True))


@pytest.fixture
def leg() -> Skeleton:
    box = trimesh.creation.box((30, 400, 30))
    surface = Surface(np.array(box.vertices), np.array(box.faces))
    names = [f"r_{name}" for name in ("femur", "tibia", "fibula", "patella")]
    return Skeleton(tuple(Bone(name, name, surface) for name in names))


def test_a_folder_without_these_bones_changes_nothing(tmp_path: Path, leg: Skeleton) -> None:
    assert with_atlas_bones(tmp_path, leg) == ()


@pytest.mark.parametrize("content", ["damaged", "other"])
def test_a_file_without_the_bones_is_one_clear_line(
    tmp_path: Path, leg: Skeleton, content: str
) -> None:
    path = tmp_path / "m-knee-r.glb"
    if content == "damaged":
        path.write_bytes(b"glTF" + bytes(40))
    else:
        trimesh.Scene({"meniscus_R": trimesh.creation.icosphere()}).export(path)
    with pytest.raises(UsageError, match=r"m-knee-r\.glb: ") as raised:
        with_atlas_bones(tmp_path, leg)
    assert "\n" not in str(raised.value)
