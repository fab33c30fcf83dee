"""Organs in trunk and head: placed as their meshes, without changing the masks of bones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from boneseg.errors import UsageError
from boneseg.simulate import SkeletonSource, skeleton_film
from boneseg.simulate.organs import read_organs
from boneseg.simulate.skeleton import Skeleton
from boneseg.simulate.tissue import VOXEL, Atlas
from tests.support.simulation import at


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


def test_one_seed_gives_one_film_with_organs(
    man: SkeletonSource, skeleton: Skeleton, atlas: Atlas
) -> None:
    film = skeleton_film(3, (64, 64), [skeleton], None, [[atlas]])
    other = man.film(3, (64, 64))
    assert np.array_equal(film.pixels, other.pixels) and np.array_equal(film.mask, other.mask)
    assert np.isfinite(film.pixels).all() and film.mask.any()


def test_folders_that_hold_no_body_are_one_clear_line(
    atlas_folder: Path, skeleton: Skeleton, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"m-skin\.glb or f-skin\.glb"):
        read_organs(tmp_path, skeleton)
    (tmp_path / "f-skin.glb").write_bytes((atlas_folder / "organs" / "m-skin.glb").read_bytes())
    with pytest.raises(UsageError, match=r"f-pelvis\.glb"):
        read_organs(tmp_path, skeleton)
    (tmp_path / "f-skin.glb").write_bytes(b"no mesh")
    with pytest.raises(UsageError) as caught:
        read_organs(tmp_path, skeleton)
    assert "f-skin.glb" in str(caught.value) and "\n" not in str(caught.value)
    half = tmp_path / "half.osim"
    half.write_text((atlas_folder / "man.osim").read_text().replace("torso", "chest"))
    with pytest.raises(UsageError, match="no model has the bodies torso and pelvis"):
        SkeletonSource(atlas_folder, (half,), organs=atlas_folder / "organs").check()
    call = [sys.executable, "-c", "from boneseg.cli import main; main()", "simulate", "--out"]
    call += [str(tmp_path / "films"), "--count", "1", "--organs", str(atlas_folder / "organs")]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "require --kind skeleton" in done.stderr
