"""Discs and costal cartilage are not bone, so they are not simulated as bone."""

import numpy as np
import trimesh

from boneseg.simulate.bones import named_pieces
from boneseg.simulate.cartilage import without_cartilage
from boneseg.simulate.skeleton import Skeleton
from boneseg.simulate.surface import Surface
from tests.support.films import needs_data


def surface(*meshes: trimesh.Trimesh) -> Surface:
    together = trimesh.util.concatenate(meshes)
    return Surface(np.array(together.vertices), np.array(together.faces))


def test_small_pieces_of_a_spine_are_discs_and_go() -> None:
    vertebra = trimesh.creation.icosphere(subdivisions=2, radius=20)  # 162 points
    disc = trimesh.creation.box((30, 5, 30)).apply_translation((0, 25, 0))
    spine = without_cartilage("hat_spine", surface(disc, vertebra))
    assert len(spine.points) == 162
    assert np.isclose(spine.volume, vertebra.volume)


def test_other_meshes_stay_as_they_are() -> None:
    box = surface(trimesh.creation.box((30, 5, 30)))
    assert without_cartilage("r_femur", box) is box


@needs_data
def test_the_sternum_is_as_wide_as_a_sternum_and_encloses_no_less(
    skeletons: list[Skeleton],
) -> None:
    bone = next(one for one in skeletons[0].bones if one.name == "hat_ribs_scap")
    sternum = np.unique(dict(named_pieces(bone))["sternum"])
    width = np.ptp(bone.surface.points[sternum, 2])
    assert 45 < width < 60  # mm; with the cartilage of the ribs it would be 236
    assert bone.surface.volume > 0


@needs_data
def test_a_spine_has_its_vertebrae_and_nothing_else(skeletons: list[Skeleton]) -> None:
    bone = next(one for one in skeletons[0].bones if one.name == "hat_spine")
    assert len(np.unique(bone.surface.middles.round(3), axis=0)) == 24
