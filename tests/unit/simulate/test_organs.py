"""Organs in trunk and head: they are where the meshes say, and leave the bones' masks alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

from boneseg.errors import UsageError
from boneseg.simulate import SkeletonSource, skeleton_film
from boneseg.simulate.organs import read_organs
from boneseg.simulate.skeleton import Skeleton, read_skeleton
from boneseg.simulate.tissue import VOXEL, Atlas
from boneseg.simulate.volume import smooth_noise

# Front, up, right (mm in the ground frame): centre and half axes of each bone of a small skeleton.
BONES = {
    "pelvis": ("pelvis", (0, 0, 0), (50, 60, 120)),
    "spine": ("torso", (-60, 250, 0), (20, 260, 20)),
    "ribs": ("torso", (0, 300, 0), (90, 150, 130)),
    "skull": ("torso", (0, 620, 0), (90, 80, 70)),
}
# The same of the organs, in a body that is a tenth larger and stands 100 mm higher.
ORGANS = {
    "skin": ((0, 270, 0), (130, 440, 170)),
    "pelvis": ((0, 0, 0), (50, 60, 120)),
    "trachea": ((-20, 430, 0), (8, 60, 8)),
    "heart": ((30, 300, -20), (35, 40, 35)),
    "liver": ((0, 200, 60), (60, 45, 50)),
    "spleen": ((-20, 200, -90), (25, 40, 20)),
    "colon": ((40, 80, 60), (20, 60, 20)),
}


def ellipsoid(centre: tuple[float, ...], half: tuple[float, ...]) -> trimesh.Trimesh:
    ball = trimesh.creation.icosphere(3)
    return trimesh.Trimesh(ball.vertices * half + centre, ball.faces, process=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bone meshes, a model of two bodies, and organs of a man, as the atlas writes them."""
    folder = tmp_path_factory.mktemp("body")
    (folder / "organs").mkdir()
    for name, (_, centre, half) in BONES.items():
        ellipsoid(np.divide(centre, 1000), np.divide(half, 1000)).export(folder / f"{name}.stl")
    for name, (centre, half) in ORGANS.items():
        mesh = ellipsoid(centre, half)
        front, up, right = mesh.vertices.T
        mesh.vertices = np.stack([-right, up + 100, front], axis=1) * 1.1 / 1000
        mesh.export(folder / "organs" / f"m-{name}.glb")

    def body(name: str) -> str:
        meshes = "".join(
            f"<Mesh><socket_frame>..</socket_frame><scale_factors>1 1 1</scale_factors>"
            f"<mesh_file>{bone}.stl</mesh_file></Mesh>"
            for bone, (of, _, _) in BONES.items()
            if of == name
        )
        return f'<Body name="{name}"><attached_geometry>{meshes}</attached_geometry></Body>'

    def joint(parent: str, child: str) -> str:
        return (
            f'<WeldJoint name="{child}"><socket_parent_frame>/{parent}</socket_parent_frame>'
            f"<socket_child_frame>/{child}</socket_child_frame></WeldJoint>"
        )

    (folder / "man.osim").write_text(
        f"<OpenSimDocument><Model><BodySet><objects>{body('pelvis')}{body('torso')}</objects>"
        f"</BodySet><JointSet><objects>{joint('ground', 'pelvis')}{joint('pelvis', 'torso')}"
        "</objects></JointSet></Model></OpenSimDocument>"
    )
    return folder


@pytest.fixture(scope="module")
def skeleton(folder: Path) -> Skeleton:
    return read_skeleton(folder, folder / "man.osim")


@pytest.fixture(scope="module")
def atlas(folder: Path, skeleton: Skeleton) -> Atlas:
    (only,) = read_organs(folder / "organs", skeleton)
    return only


def at(atlas: Atlas, point: tuple[float, ...]) -> tuple[int, ...]:
    return tuple(np.rint((np.array(point) - atlas.first) / VOXEL).astype(int).tolist())


def test_organs_come_to_the_skeleton_and_keep_their_sides(atlas: Atlas) -> None:
    right = np.stack(np.nonzero(atlas.organ == atlas.names.index("liver") + 1), 1).mean(0)
    left = np.stack(np.nonzero(atlas.organ == atlas.names.index("spleen") + 1), 1).mean(0)
    middle = at(atlas, (0, 0, 0))[2]
    assert right[2] > middle + 3 and left[2] < middle - 3
    assert atlas.organ[at(atlas, (0, 0, 0))] == 0
    assert atlas.depth[at(atlas, (0, 0, 0))] > 50
    assert atlas.depth[at(atlas, (180, 300, 0))] < 0
    for centre in ((0, 620, 0), (0, 0, 100), (0, 300, 120)):
        assert atlas.depth[at(atlas, centre)] > 0  # no bone is outside the skin


def test_lungs_lie_in_the_ribs_beside_the_heart_and_above_the_liver(atlas: Atlas) -> None:
    lung = atlas.lung > 0
    assert 0.3e6 < lung.sum() * VOXEL**3 < 8e6  # mm3
    assert not lung[:, : at(atlas, (0, 140, 0))[1]].any()
    for organ in ("heart", "liver", "spleen"):
        assert not (lung & (atlas.organ == atlas.names.index(organ) + 1)).any()
    sides = np.flatnonzero(lung.any(axis=(0, 1)))
    middle = at(atlas, (0, 0, 0))[2]
    assert sides[0] < middle < sides[-1] and middle not in sides


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


def test_one_seed_gives_one_film_with_organs(
    folder: Path, skeleton: Skeleton, atlas: Atlas
) -> None:
    source = SkeletonSource(folder, (folder / "man.osim",), organs=folder / "organs")
    film, other = (
        skeleton_film(3, (64, 64), [skeleton], None, [[atlas]]),
        source.film(3, (64, 64)),
    )
    assert np.array_equal(film.pixels, other.pixels) and np.array_equal(film.mask, other.mask)
    assert np.isfinite(film.pixels).all() and film.mask.any()


def test_folders_that_hold_no_body_are_one_clear_line(
    folder: Path, skeleton: Skeleton, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"m-skin\.glb or f-skin\.glb"):
        read_organs(tmp_path, skeleton)
    (tmp_path / "f-skin.glb").write_bytes((folder / "organs" / "m-skin.glb").read_bytes())
    with pytest.raises(UsageError, match=r"f-pelvis\.glb"):
        read_organs(tmp_path, skeleton)
    (tmp_path / "f-skin.glb").write_bytes(b"no mesh")
    with pytest.raises(UsageError) as caught:
        read_organs(tmp_path, skeleton)
    assert "f-skin.glb" in str(caught.value) and "\n" not in str(caught.value)
    half = tmp_path / "half.osim"
    half.write_text((folder / "man.osim").read_text().replace("torso", "chest"))
    with pytest.raises(UsageError, match="no model has the bodies torso and pelvis"):
        SkeletonSource(folder, (half,), organs=folder / "organs").check()
    call = [sys.executable, "-c", "from boneseg.cli import main; main()", "simulate", "--out"]
    call += [str(tmp_path / "films"), "--count", "1", "--organs", str(folder / "organs")]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "require --kind skeleton" in done.stderr


def test_smooth_noise_has_unit_variance_and_fills_its_shape() -> None:
    noise = smooth_noise(np.random.default_rng(0), (31, 50, 42), 6.0)
    assert noise.shape == (31, 50, 42) and noise.dtype == np.float32
    assert 0.7 < noise.std() < 1.2
    assert np.abs(np.diff(noise, axis=1)).mean() < 0.5 * noise.std()
