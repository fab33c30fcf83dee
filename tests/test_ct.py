"""Films of CT volumes: the way through labelled bone is what it is in the volume."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from boneseg.errors import UsageError
from boneseg.simulate import CtSource
from boneseg.simulate.ct import CUBE, _project, _turns, ct_film, read_ct

SIDES = (2.0, 1.5, 2.5)  # mm of a voxel


def boneseg(*words: object) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-c", "from boneseg.cli import main; main()", *map(str, words)]
    return subprocess.run(call, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A block of muscle in air, in it a ball of compact bone of 30 mm radius, off the middle."""
    shape = (80, 90, 60)
    at = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1) * SIDES
    block = (np.abs(at - np.array(shape) * SIDES / 2) < (60, 50, 70)).all(-1)
    ball = np.linalg.norm(at - (90, 70, 75), axis=-1) < 30
    hounsfield = np.where(ball, 1800, np.where(block, 50, -1000)).astype(np.int16)
    folder = tmp_path_factory.mktemp("ct")
    affine = np.diag([*SIDES, 1.0])
    for name, data in (("ct", hounsfield), ("labels", (7 * ball).astype(np.uint8))):
        nibabel.save(nibabel.Nifti1Image(data, affine), folder / f"{name}.nii.gz")
    return folder / "ct.nii.gz", folder / "labels.nii.gz"


def test_a_volume_keeps_its_size_and_its_densities(volumes: tuple[Path, Path]) -> None:
    body = read_ct(*volumes)
    assert np.array(body.bone.shape) * CUBE == pytest.approx([160, 135, 150], abs=2 * CUBE)
    assert body.bone.sum() * CUBE**3 == pytest.approx(4 / 3 * np.pi * 30**3, rel=0.05)
    inside = body.bone > 0.99
    assert body.mineral[inside].mean() == pytest.approx(1, abs=0.02)
    assert body.flesh[~inside].max() <= 1.05


@pytest.mark.parametrize("seed", range(6))
def test_from_any_side_a_ball_is_as_thick_as_it_is(seed: int, volumes: tuple[Path, Path]) -> None:
    body = read_ct(*volumes)
    rng = np.random.default_rng(seed)
    turns = _turns(rng)
    assert turns @ turns.T == pytest.approx(np.eye(3), abs=1e-9)
    assert np.linalg.det(turns) == pytest.approx(1)
    way = CUBE * _project(body.bone, turns, np.array([90.0, 70, 75]), (120, 120), 1.0, 1200)
    assert way.max() == pytest.approx(60, rel=0.06)
    assert (way > 1).sum() == pytest.approx(np.pi * 31**2, rel=0.08)  # a pixel is a millimetre
    assert way[58:62, 58:62].mean() == pytest.approx(60, rel=0.06)  # and it is in the middle


def test_one_seed_gives_one_film(volumes: tuple[Path, Path]) -> None:
    body = read_ct(*volumes)
    films = [ct_film(4, (96, 96), body) for _ in range(2)]
    assert np.array_equal(films[0].pixels, films[1].pixels)
    assert films[0].pixels.shape == films[0].mask.shape and max(films[0].mask.shape) == 96
    assert films[0].pixels.min() >= 0 and films[0].pixels.max() <= 1


def test_what_the_scanner_did_not_see_is_air(volumes: tuple[Path, Path], tmp_path: Path) -> None:
    image = nibabel.load(volumes[0])
    hounsfield = image.get_fdata(dtype=np.float32)
    unseen = np.where(hounsfield == -1000, np.float32(np.nan), hounsfield)
    nibabel.save(nibabel.Nifti1Image(unseen, image.affine), tmp_path / "ct.nii.gz")
    body, whole = read_ct(tmp_path / "ct.nii.gz", volumes[1]), read_ct(*volumes)
    assert np.array_equal(body.flesh, whole.flesh) and np.array_equal(body.mineral, whole.mineral)


def test_simulate_films_a_volume_through_the_command_line(
    volumes: tuple[Path, Path], tmp_path: Path
) -> None:
    words = ["--kind", "ct", "--ct", volumes[0], "--labels", volumes[1], "--bones", "5-7"]
    done = boneseg("simulate", *words, "--count", 3, "--size", 64, "--out", tmp_path / "films")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "films" / "masks").glob("ct_*.png"))) == 3


def test_volumes_that_are_none_are_one_clear_line(
    volumes: tuple[Path, Path], tmp_path: Path
) -> None:
    text = tmp_path / "notes.nii.gz"
    text.write_text("not a volume")
    small = tmp_path / "small.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)), small)
    for ct, labels, bones in (
        (text, volumes[1], None),
        (tmp_path / "missing.nii.gz", volumes[1], None),
        (volumes[0], small, None),
        (*volumes, (3, 4)),
    ):
        with pytest.raises(UsageError) as caught:
            CtSource(ct, labels, bones).check()
        assert "\n" not in str(caught.value)
    for bones, told in (("a-b", "write numbers"), ("0-7", "0 is all that has no label")):
        done = boneseg("simulate", "--kind", "ct", "--ct", text, "--labels", text, "--bones", bones,
                       "--count", 1, "--out", tmp_path / "films")  # fmt: skip
        assert done.returncode == 2 and f"--bones {bones}: {told}" in done.stderr
