"""The anatomical names of a skeleton's bones: the labels of `simulate --each-bone`.

    for name, triangles in named_pieces(bone):      # "thoracic spine", M x 3 indices of points

The meshes of OpenSim's models are named after their files, and some hold many bones: all
vertebrae, or ribs, sternum, clavicles and scapulae. These are told apart by where their pieces lie
in the mesh, in mm: x to the front, y up, z to the right. Sides are not distinguished.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from boneseg.simulate.raster import Points, Triangles
from boneseg.simulate.skeleton import Bone

NAMES = (
    "skull", "mandible", "cervical spine", "thoracic spine", "lumbar spine", "sacrum", "ribs",
    "sternum", "clavicle", "scapula", "humerus", "radius", "ulna", "carpals", "metacarpals",
    "phalanges", "hip bone", "femur", "patella", "tibia", "fibula", "tarsals", "metatarsals",
    "toes",
)  # fmt: skip

# By the name of the mesh, without side and suffix; the hand of the wrist model is numbered.
_PATTERNS = {
    "skull": r"hat_skull", "mandible": r"hat_jaw", "sacrum": r"sacrum", "hip bone": r"pelvis",
    "femur": r"femur", "patella": r"patella", "tibia": r"tibia", "fibula": r"fibula",
    "tarsals": r"talus", "toes": r"bofoot", "humerus": r"humerus", "radius": r"radius",
    "ulna": r"ulna", "metacarpals": r"metacarpal\d|fingers(1|8|12|16|17)",
    "carpals": r"(scaph|lun|trpz|cap|pis|triq|ham|trape)\w*",
    "phalanges": r"(thumb|index|middle|ring|little)_\w+|fingers\d+",
}  # fmt: skip
_PLAIN = re.compile(r"^[lr]_|_[lr]v?s?$")


def named_pieces(bone: Bone) -> list[tuple[str, Triangles]]:
    """The triangles of a mesh by anatomical name; a mesh of another kind has its own name."""
    surface = bone.surface
    middles = surface.middles
    if bone.name == "hat_spine":
        names = _spine(middles)
    elif bone.name == "hat_ribs_scap":
        names = _thorax(middles)
    elif bone.name.endswith("_foot"):
        names = _foot(middles, surface.points)
    else:
        return [(_name(bone.name), surface.triangles)]
    at = names[surface.triangles[:, 0]]
    return [(str(name), surface.triangles[at == name]) for name in np.unique(at)]


def _name(mesh: str) -> str:
    plain = _PLAIN.sub("", mesh)
    for name, pattern in _PATTERNS.items():
        if re.fullmatch(pattern, plain):
            return name
    return mesh


def _spine(middles: Points) -> NDArray[np.str_]:
    """Seven cervical vertebrae, twelve thoracic and five lumbar ones, with their discs."""
    y = middles[:, 1]
    return np.where(y > 409, "cervical spine", np.where(y > 129, "thoracic spine", "lumbar spine"))


def _thorax(middles: Points) -> NDArray[np.str_]:
    x, y, z = middles[:, 0], middles[:, 1], np.abs(middles[:, 2])
    clavicle = (y > 380) & (x > 0)
    return np.select([x > 50, z > 110, clavicle], ["sternum", "scapula", "clavicle"], "ribs")


def _foot(middles: Points, points: Points) -> NDArray[np.str_]:
    """Metatarsals are long, and lie in front of the calcaneus."""
    _, piece = np.unique(middles, axis=0, return_inverse=True)
    front, back = np.full(piece.max() + 1, -np.inf), np.full(piece.max() + 1, np.inf)
    np.maximum.at(front, piece.ravel(), points[:, 0])
    np.minimum.at(back, piece.ravel(), points[:, 0])
    long = (front - back > 60)[piece.ravel()] & (middles[:, 0] > 90)
    return np.where(long, "metatarsals", "tarsals")
