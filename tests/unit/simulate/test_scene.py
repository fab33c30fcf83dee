"""Scenes: the same film for the same seed, of any meshes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from boneseg.simulate import skeleton_film
from boneseg.simulate.projector import MASK_PATH_MM
from boneseg.simulate.skeleton import read_skeleton
from tests.support.simulation import in_millimetres, some_paths


def test_bones_of_any_meshes_are_filmed(folder: Path) -> None:
    in_millimetres(folder)
    skeleton = read_skeleton(folder)
    films = [skeleton_film(seed, (96, 96), [skeleton]) for seed in range(8)]
    assert sum(film.mask.any() and not film.mask.all() for film in films) >= 6  # some are flesh
    film, again = films[5], skeleton_film(5, (96, 96), [skeleton])
    assert np.array_equal(film.pixels, again.pixels) and np.array_equal(film.mask, again.mask)


def test_one_seed_gives_one_film_in_every_process(folder: Path) -> None:
    words = f"""
import hashlib
from pathlib import Path
from boneseg.simulate import SkeletonSource
folder = Path({str(folder)!r})
film = SkeletonSource(folder, (folder / "leg.osim",)).film(9, (64, 64))
print(hashlib.sha256(film.pixels.tobytes() + film.mask.tobytes()).hexdigest())
"""
    answers = {
        subprocess.run(
            [sys.executable, "-c", words],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(1, 5)
    }
    assert len(answers) == 1


def test_the_mask_is_what_is_thicker_than_the_stated_way() -> None:
    paths = some_paths()
    assert np.array_equal(paths.mask, paths.envelope > MASK_PATH_MM)
