"""boneseg simulate."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boneseg.simulate import SkeletonSource
from tests.support.command_line import boneseg
from tests.support.simulation import in_millimetres


def test_simulate_films_skeletons_through_the_command_line(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "films"
    words = ["--kind", "skeleton", "--meshes", folder, "--model", folder / "leg.osim"]
    words += ["--count", 3, "--size", 64, "--out", out, "--parallel", 2]
    done = boneseg("simulate", *words)
    assert done.returncode == 0, done.stderr
    images = sorted((out / "images").iterdir())
    assert [path.name for path in images] == [f"skeleton_{i:06d}.png" for i in range(3)]
    with (out / "parts.csv").open() as file:
        assert {row["part"] for row in csv.DictReader(file)} <= {"thigh", "shank"}
    source = SkeletonSource(folder, (folder / "leg.osim",))
    film = source.film(1, (64, 64))  # the same whichever process made it
    assert np.array_equal(np.rint(film.pixels * 255), np.asarray(Image.open(images[1])))


def test_each_bone_has_its_mask_and_together_they_are_the_film_s(folder: Path) -> None:
    in_millimetres(folder)
    source = SkeletonSource(folder, each=True)
    for seed in range(6):
        film, plain = source.film(seed, (96, 80)), SkeletonSource(folder).film(seed, (96, 80))
        assert np.array_equal(film.pixels, plain.pixels) and not plain.bones
        assert all(bone.any() for bone in film.bones.values())
        together = np.any([*film.bones.values(), np.zeros_like(film.mask)], axis=0)
        # The path of a ray through two bones adds up, which their rims alone do not reach.
        assert (together ^ film.mask).mean() < 0.01 and not (together & ~film.mask).any()


def test_simulate_writes_each_bone_and_what_is_hidden(folder: Path, tmp_path: Path) -> None:
    words = ["--kind", "skeleton", "--meshes", folder, "--model", folder / "leg.osim"]
    words += ["--count", 3, "--size", 64, "--each-bone", "--out", tmp_path]
    done = boneseg("simulate", *words)
    assert done.returncode == 0, done.stderr
    source = SkeletonSource(folder, (folder / "leg.osim",), each=True)
    for seed in range(3):
        film, name = source.film(seed, (64, 64)), f"skeleton_{seed:06d}"
        assert film.hidden is not None
        hidden = np.asarray(Image.open(tmp_path / "hidden" / f"{name}.png"))
        assert np.array_equal(hidden, film.hidden * np.uint8(255))
        if film.bones:
            with np.load(tmp_path / "bones" / f"{name}.npz") as saved:
                assert list(saved["names"]) == list(film.bones)
                assert np.array_equal(saved["masks"], np.stack(list(film.bones.values())))
    with (tmp_path / "views.csv").open() as file:
        views = {row["projection"] for row in csv.DictReader(file)}
    assert views and views <= {"frontal", "lateral", "oblique"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kind", "skeleton"], "--meshes"),
        (["--kind", "ghost"], "ghost"),
        (["--kind", "skeleton", "--meshes", "nowhere"], "nowhere"),
    ],
)
def test_simulate_says_what_is_missing(words: list[str], said: str, tmp_path: Path) -> None:
    done = boneseg("simulate", "--count", 1, "--out", tmp_path / "out", *words)
    assert done.returncode == 2
    assert said in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
