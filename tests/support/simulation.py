"""Bodies with known path lengths through bone."""

from pathlib import Path

import numpy as np
import trimesh

from boneseg.simulate.projector import Paths
from boneseg.simulate.tissue import VOXEL, Atlas
from tests.support.films import DATA

MESHES = DATA / "skeleton" / "meshes"


MODELS = DATA / "skeleton" / "models"


MODEL = """<OpenSimDocument Version="40000"><Model>
<BodySet><objects>
 <Body name="thigh"><attached_geometry><Mesh><scale_factors>1 1 1</scale_factors>
  <mesh_file>thigh.stl</mesh_file></Mesh></attached_geometry></Body>
 <Body name="shank"><attached_geometry><Mesh><scale_factors>1 2 1</scale_factors>
  <mesh_file>shank.stl</mesh_file></Mesh></attached_geometry></Body>
</objects></BodySet>
<JointSet><objects>
 <PinJoint name="knee"><socket_parent_frame>thigh_offset</socket_parent_frame>
  <socket_child_frame>shank_offset</socket_child_frame>
  <coordinates><Coordinate name="bend"><default_value>0</default_value><range>0 2</range>
  </Coordinate></coordinates>
  <frames><PhysicalOffsetFrame name="thigh_offset"><socket_parent>/bodyset/thigh</socket_parent>
   <translation>0 -0.4 0</translation><orientation>0 0 0</orientation></PhysicalOffsetFrame>
  <PhysicalOffsetFrame name="shank_offset"><socket_parent>/bodyset/shank</socket_parent>
   <translation>0 0.1 0</translation><orientation>0 0 0</orientation></PhysicalOffsetFrame>
  </frames></PinJoint>
 <WeldJoint name="hip"><socket_parent_frame>/ground</socket_parent_frame>
  <socket_child_frame>/bodyset/thigh</socket_child_frame></WeldJoint>
</objects></JointSet></Model></OpenSimDocument>"""


def in_millimetres(folder: Path) -> None:
    for name in ("thigh", "shank"):
        trimesh.creation.box((30, 400, 30)).export(folder / f"{name}.stl")


# Films


def some_paths(height: int = 120, width: int = 90) -> Paths:
    """A leg of flesh with a bone in it."""
    x = np.abs(np.arange(width) - 45.0)[None].repeat(height, axis=0).astype(np.float32)
    flesh, bone = 60 * (x < 35), 20 * np.sqrt(np.maximum(1 - (x / 10) ** 2, 0))
    flesh, bone = flesh.astype(np.float32), bone.astype(np.float32)
    return Paths(bone, 0.4 * bone, flesh, 0.1 * flesh, np.zeros_like(bone))


# Front, up, right (mm in the ground frame): centre and half axes of each bone of a small skeleton.
BONES = {
    "pelvis": ("pelvis", (0, 0, 0), (50, 60, 120)),
    "spine": ("torso", (-60, 250, 0), (20, 260, 20)),
    "ribs": ("torso", (0, 300, 0), (90, 150, 130)),
    "skull": ("torso", (0, 620, 0), (90, 80, 70)),
    "jaw": ("torso", (60, 555, 0), (25, 10, 25)),
}


# The same of the organs, in a body that is a tenth larger and stands 100 mm higher.
ORGANS = {
    "skin": [
        ((0, 200, 0), (130, 330, 170)),
        ((-30, 500, 0), (55, 80, 55)),  # neck, head, nose and chin
        ((0, 620, 0), (97, 90, 76)),
        ((100, 600, 0), (20, 18, 10)),
        ((60, 560, 0), (30, 18, 30)),
    ],
    "pelvis": [((0, 0, 0), (50, 60, 120))],
    "trachea": [((-20, 430, 0), (8, 60, 8))],
    "heart": [((30, 300, -20), (35, 40, 35))],
    "liver": [((0, 200, 60), (60, 45, 50))],
    "spleen": [((-20, 200, -90), (25, 40, 20))],
    "colon": [((40, 80, 60), (20, 60, 20))],
}


def ellipsoid(centre: tuple[float, ...], half: tuple[float, ...]) -> trimesh.Trimesh:
    ball = trimesh.creation.icosphere(3)
    return trimesh.Trimesh(ball.vertices * half + centre, ball.faces, process=False)


def at(atlas: Atlas, point: tuple[float, ...]) -> tuple[int, ...]:
    return tuple(np.rint((np.array(point) - atlas.first) / VOXEL).astype(int).tolist())
