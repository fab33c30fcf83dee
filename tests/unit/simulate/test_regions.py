"""Regions of the body show the bones that they name."""

import numpy as np
import pytest

from boneseg.errors import UsageError
from boneseg.simulate import REGIONS, skeleton_film
from boneseg.simulate.skeleton import Skeleton
from tests.support.films import needs_data


@needs_data
@pytest.mark.parametrize("region", sorted({region.name for region in REGIONS}))
def test_every_region_shows_its_bones(region: str, skeletons: list[Skeleton]) -> None:
    films = [skeleton_film(seed, (128, 128), skeletons, region) for seed in range(6)]
    assert {film.part for film in films} == {region}
    shares = [film.mask.mean() for film in films]
    assert sum(share > 0.02 for share in shares) >= 4
    for film in films:
        assert film.pixels.dtype == np.float32 and film.pixels.shape == film.mask.shape
        assert film.pixels.min() >= 0 and film.pixels.max() <= 1
        assert max(film.mask.shape) == 128


@needs_data
def test_an_unknown_region_is_refused(skeletons: list[Skeleton]) -> None:
    with pytest.raises(UsageError, match="tail"):
        skeleton_film(0, (64, 64), skeletons, "tail")


@needs_data
def test_a_whole_leg_stands_on_a_flat_foot(skeletons: list[Skeleton]) -> None:
    legs = [
        region for region in REGIONS if region.name == "full leg" and "calcn_r" in region.bodies
    ]
    assert legs
    for region in legs:
        for place in (0, 0.5, 1):  # between the limits of each angle, the hip's alone apart
            pose = {
                name: low + place * (high - low)
                for name, (low, high) in region.pose.items()
                if not name.startswith("hip")
            }
            found = skeletons[0].pose(pose, {})
            up = {body: found[body][1, 1] for body in ("tibia_r", "calcn_r")}
            assert min(up.values()) > np.cos(np.radians(15)), (region.name, pose, up)
