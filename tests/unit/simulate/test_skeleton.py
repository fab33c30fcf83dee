"""Films of bone surfaces: exact path lengths, joints that move, correct masks."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from boneseg.errors import UsageError
from boneseg.simulate import SkeletonSource
from boneseg.simulate.skeleton import read_skeleton
from tests.support.simulation import MODEL, in_millimetres


def test_a_joint_rotates_the_bodies_attached_to_it(folder: Path) -> None:
    leg = read_skeleton(folder, folder / "leg.osim")
    straight, bent = leg.pose({})["shank"], leg.pose({"bend": np.pi / 2})["shank"]
    assert straight[:3, 3] == pytest.approx([0, -500, 0])
    # The joint is at (0, -400); the shank's middle, 100 mm below it, swings to the front.
    assert bent[:3, 3] == pytest.approx([100, -400, 0])
    assert bent[:3, :3] @ [0, -1, 0] == pytest.approx([1, 0, 0])


def test_a_joint_is_clipped_to_its_limits_and_found_by_name(folder: Path) -> None:
    leg = read_skeleton(folder, folder / "leg.osim")
    assert np.allclose(leg.pose({"bend": 9})["shank"], leg.pose({"bend": 2})["shank"])
    with pytest.raises(UsageError, match="bnd"):
        leg.pose({"bnd": 1})


def test_a_stretched_body_takes_its_joints_along(folder: Path) -> None:
    leg = read_skeleton(folder, folder / "leg.osim")
    long = leg.pose({}, {"thigh": np.array([1, 1.5, 1])})["shank"]
    assert long[:3, 3] == pytest.approx([0, -700, 0])


@pytest.mark.parametrize("top", [-0.040, 0.012])
def test_the_head_of_a_fibula_is_15_mm_below_the_top_of_the_tibia(folder: Path, top: float) -> None:
    for name, height, middle in (("r_tibia", 0.4, -0.2), ("r_fibula", 0.3, top - 0.15)):
        bone = trimesh.creation.box((0.03, height, 0.03))
        bone.apply_translation((0, middle, 0))
        bone.export(folder / f"{name}.stl")
    both = "".join(
        f"<Mesh><scale_factors>1 1 1</scale_factors><mesh_file>{name}.stl</mesh_file></Mesh>"
        for name in ("r_fibula", "r_tibia")
    )
    body = f'<Body name="leg"><attached_geometry>{both}</attached_geometry></Body>'
    model = MODEL.replace("</objects></BodySet>", f"{body}</objects></BodySet>")
    (folder / "leg.osim").write_text(model)
    bones = {bone.name: bone for bone in read_skeleton(folder, folder / "leg.osim").bones}
    tops = {name: float(bone.surface.points[:, 1].max()) for name, bone in bones.items()}
    assert tops["r_fibula"] == pytest.approx(tops["r_tibia"] - 15)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("socket", [True, False])
def test_the_head_of_a_femur_is_in_its_socket(folder: Path, side: int, socket: bool) -> None:
    names = {"thigh": "pelvis", "shank": "femur_r", "0 -0.4 0": f"0 -0.4 {0.08 * side}"}
    text = MODEL
    for old, new in names.items():
        text = text.replace(old, new)
    hip = trimesh.creation.icosphere(3, 0.024) if socket else trimesh.creation.box((0.05,) * 3)
    wall = np.array([-0.012, -0.388, 0.083 * side])
    hip.vertices += wall
    hip.faces = hip.faces[hip.triangles_center[:, 1] > -0.38] if socket else hip.faces
    if socket:  # its wall faces the head
        hip.invert()
    hip.export(folder / "pelvis.stl")
    trimesh.creation.box((0.03, 0.4, 0.03)).export(folder / "femur_r.stl")
    (folder / "hip.osim").write_text(text)
    head = read_skeleton(folder, folder / "hip.osim").pose({})["femur_r"][:3, 3] + [0, 100, 0]
    at = 1000 * wall if socket else np.array([0, -400, 80 * side])
    assert head == pytest.approx(at, abs=0.5)


def test_meshes_in_metres_without_a_model_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"the longest bone measures 0\.\d+ mm"):
        SkeletonSource(folder).check()


def test_meshes_without_a_model_stay_where_they_are(folder: Path) -> None:
    in_millimetres(folder)
    bones = read_skeleton(folder)
    assert sorted(bone.name for bone in bones.bones) == ["shank", "thigh"]
    assert all(np.allclose(place, np.eye(4)) for place in bones.pose({}).values())


@pytest.mark.parametrize("content", ["", "<a/>", MODEL.replace("PinJoint", "SpringJoint")])
def test_a_model_that_cannot_be_read_is_one_clear_line(folder: Path, content: str) -> None:
    (folder / "leg.osim").write_text(content)
    with pytest.raises(UsageError) as caught:
        read_skeleton(folder, folder / "leg.osim")
    assert "leg.osim" in str(caught.value) and "\n" not in str(caught.value)
