"""Fixtures that these tests share."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from boneseg.simulate import SkeletonSource
from boneseg.simulate.skeleton import Skeleton
from boneseg.simulate.tissue import Atlas
from tests.support.simulation import BONES, MESHES, MODEL, MODELS, ORGANS, ellipsoid


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A leg of two boxes: meshes in metres, and the model that joins them."""
    for name in ("thigh", "shank"):
        trimesh.creation.box((0.03, 0.4, 0.03)).export(tmp_path / f"{name}.stl")
    (tmp_path / "leg.osim").write_text(MODEL)
    return tmp_path


# A real skeleton


@pytest.fixture(scope="session")
def skeletons() -> list[Skeleton]:
    models = tuple(MODELS / f"{name}.osim" for name in ("Rajagopal2016", "wrist"))
    return list(SkeletonSource(MESHES, models).skeletons)  # read once per process


@pytest.fixture(scope="session")
def atlas_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bone meshes, a model of two bodies, and organs of a man, as the atlas writes them."""
    atlas_folder = tmp_path_factory.mktemp("body")
    (atlas_folder / "organs").mkdir()
    for name, (_, centre, half) in BONES.items():
        ellipsoid(np.divide(centre, 1000), np.divide(half, 1000)).export(
            atlas_folder / f"{name}.stl"
        )
    for name, balls in ORGANS.items():
        mesh = trimesh.util.concatenate([ellipsoid(centre, half) for centre, half in balls])
        front, up, right = mesh.vertices.T
        mesh.vertices = np.stack([-right, up + 100, front], axis=1) * 1.1 / 1000
        mesh.export(atlas_folder / "organs" / f"m-{name}.glb")

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

    (atlas_folder / "man.osim").write_text(
        f"<OpenSimDocument><Model><BodySet><objects>{body('pelvis')}{body('torso')}</objects>"
        f"</BodySet><JointSet><objects>{joint('ground', 'pelvis')}{joint('pelvis', 'torso')}"
        "</objects></JointSet></Model></OpenSimDocument>"
    )
    return atlas_folder


@pytest.fixture(scope="session")
def man(atlas_folder: Path) -> SkeletonSource:
    models = (atlas_folder / "man.osim",)
    return SkeletonSource(atlas_folder, models, organs=atlas_folder / "organs")


@pytest.fixture(scope="session")
def skeleton(man: SkeletonSource) -> Skeleton:
    (only,) = man.skeletons
    return only


@pytest.fixture(scope="session")
def atlas(man: SkeletonSource) -> Atlas:
    ((only,),) = man.atlases
    return only
