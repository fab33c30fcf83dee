"""Every bone of the skeleton has its anatomical name."""

import numpy as np
import trimesh

from boneseg.simulate.bones import NAMES, named_pieces
from boneseg.simulate.skeleton import Bone, Skeleton
from boneseg.simulate.surface import Surface
from tests.support.films import needs_data


@needs_data
def test_every_mesh_of_the_models_is_named_and_every_name_occurs(skeletons: list[Skeleton]) -> None:
    found = set()
    for skeleton in skeletons:
        for bone in skeleton.bones:
            pieces = named_pieces(bone)
            found |= {name for name, _ in pieces}
            # each triangle has one name
            together = np.concatenate([triangles for _, triangles in pieces])
            assert sorted(map(tuple, together)) == sorted(map(tuple, bone.surface.triangles))
    assert found == set(NAMES)


@needs_data
def test_vertebrae_ribs_and_feet_are_told_apart(skeletons: list[Skeleton]) -> None:
    bones = {bone.name: bone for bone in skeletons[0].bones}

    def pieces(mesh: str, name: str) -> int:
        triangles = dict(named_pieces(bones[mesh]))[name]
        return len(np.unique(bones[mesh].surface.middles[triangles[:, 0]].round(3), axis=0))

    assert [
        pieces("hat_spine", f"{part} spine") for part in ("cervical", "thoracic", "lumbar")
    ] == [
        7,
        12,
        5,
    ]
    assert pieces("hat_ribs_scap", "ribs") == 24
    assert pieces("hat_ribs_scap", "scapula") == pieces("hat_ribs_scap", "clavicle") == 2
    assert pieces("r_foot", "metatarsals") == 5 and pieces("r_foot", "tarsals") == 6


def test_a_mesh_of_another_kind_keeps_its_own_name() -> None:
    box = trimesh.creation.box((30, 400, 30))
    bone = Bone("thigh", "thigh", Surface(np.array(box.vertices), np.array(box.faces)))
    ((name, triangles),) = named_pieces(bone)
    assert name == "thigh" and triangles is bone.surface.triangles
