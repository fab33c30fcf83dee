"""Bodies differ: bones are hollow, grown and whole."""

import numpy as np
import trimesh

from boneseg.simulate.skeleton import Skeleton
from boneseg.simulate.subject import Part, draw_subject
from boneseg.simulate.surface import Surface
from tests.support.films import needs_data


def test_the_middle_of_a_plate_is_distinguished_from_rims_and_round_parts() -> None:
    plate = trimesh.creation.box((60, 60, 6)).subdivide_to_size(4)
    surface = Surface(np.array(plate.vertices, np.float64), np.array(plate.faces))
    inside = np.abs(surface.points[:, :2]).max(axis=1)
    assert (surface.flatness[inside < 15] == 1).all()
    assert surface.flatness[inside > 29.9].max() < 0.5
    ball = trimesh.creation.icosphere(4, 20)
    assert Surface(np.array(ball.vertices), np.array(ball.faces)).flatness.max() == 0


@needs_data
def test_an_iliac_wing_is_thinner_amid_than_at_its_crest(skeletons: list[Skeleton]) -> None:
    hip = next(bone for bone in skeletons[0].bones if bone.name == "r_pelvis").surface
    high = hip.points[:, 1] > np.percentile(hip.points[:, 1], 55)
    crest = hip.points[:, 1] > np.percentile(hip.points[:, 1], 97)
    assert np.mean(hip.flatness[high] > 0.5) > 0.15
    assert np.median(hip.flatness[crest]) < 0.3
    parts = [part for seed in range(12) for part in grown(skeletons[0], seed)]
    shares = [np.linalg.norm(part.outer - part.inner, axis=1) for part in parts]
    amid, rims = hip.flatness > 0.8, high & (hip.flatness < 0.1)
    assert np.mean([np.median(rim[amid]) for rim in shares]) < 0.8 * np.mean(
        [np.median(rim[rims]) for rim in shares]
    )


def grown(skeleton: Skeleton, seed: int) -> list[Part]:
    """The right hip bone of a random person."""
    subject = draw_subject(np.random.default_rng(seed), skeleton, {"pelvis"}, {})
    return [part for part in subject.parts if part.name == "r_pelvis"]


@needs_data
def test_a_femur_is_long_hollow_and_closed(skeletons: list[Skeleton]) -> None:
    femur = next(bone for bone in skeletons[0].bones if bone.body == "femur_r").surface
    assert 380 < femur.length < 480
    assert femur.slenderness > 3
    shaft = femur.thickness[np.abs(femur.along - 0.5) < 0.1]
    assert 15 < np.median(shaft) < 36


@needs_data
def test_the_shaft_of_a_fibula_is_nearly_solid_and_that_of_a_tibia_hollow(
    skeletons: list[Skeleton],
) -> None:
    def wall(name: str) -> float:
        """Of half the thickness, in the middle of the shaft: the mean of a few people."""
        bone = next(one for one in skeletons[0].bones if one.name == name).surface
        amid = np.abs(bone.along - 0.5) < 0.1
        shares = []
        for seed in range(6):
            people = draw_subject(np.random.default_rng(seed), skeletons[0], {"tibia_r"}, {})
            (part,) = (one for one in people.parts if one.name == name)
            rim = np.linalg.norm(part.outer - part.inner, axis=1) / people.size
            shares.append(np.median(rim[amid] / bone.thickness[amid]) * 2)
        return float(np.mean(shares))

    assert wall("r_fibula") > 0.7 > wall("r_tibia")


@needs_data
def test_the_face_has_thinner_walls_than_the_vault(skeletons: list[Skeleton]) -> None:
    subject = draw_subject(np.random.default_rng(1), skeletons[0], {"torso"}, {})
    (skull,) = (part for part in subject.parts if "skull" in part.name)
    wall = np.linalg.norm(skull.outer - skull.inner, axis=1) / subject.size
    front, up = skull.outer[:, 0], skull.outer[:, 1]
    vault = up > np.quantile(up, 0.9)
    face = (front > front.max() - 30) & (up < up.min() + 0.4 * np.ptp(up))
    assert np.median(wall[vault]) > 2.5 > np.median(wall[face])
