"""Films of CT volumes: path lengths through labelled bone are those of the volume."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from boneseg.errors import UsageError
from boneseg.simulate import CtSource
from boneseg.simulate.ct import CUBE, Bend, _turns, ct_film, read_ct, vary_densities
from boneseg.simulate.volume import project_volume
from tests.support.command_line import boneseg

SIDES = (2.0, 1.5, 2.5)  # mm of a voxel


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
    at = np.array([90.0, 70, 75])
    way = project_volume(body.bone, turns, at, (120, 120), 1.0, 1200, CUBE)
    assert way.max() == pytest.approx(60, rel=0.06)
    assert (way > 1).sum() == pytest.approx(np.pi * 31**2, rel=0.08)  # a pixel is a millimetre
    assert way[58:62, 58:62].mean() == pytest.approx(60, rel=0.06)  # and it is in the middle


@pytest.mark.parametrize("seed", range(4))
def test_a_stretched_volume_is_larger_along_that_axis(seed: int) -> None:
    volume = np.zeros((40, 40, 40), np.float32)
    volume[12:28, 12:28, 12:28] = 1  # a cube of 32 mm
    stretch = np.random.default_rng(seed).uniform(0.7, 1.4, 3)
    turns = np.eye(3)[[0, 2, 1]] / stretch  # down is axis 2, away is axis 1
    way = project_volume(volume, turns, np.full(3, 39.0), (160, 160), 0.5, 2000, 2.0, slabs=8)
    assert way[78:82, 78:82].mean() == pytest.approx(32 * stretch[1], rel=0.07)
    wide, tall = (way > 16 * stretch[1]).sum(axis=(1))[80], (way > 16 * stretch[1]).sum(axis=0)[80]
    assert 0.5 * wide == pytest.approx(32 * stretch[0], rel=0.07)
    assert 0.5 * tall == pytest.approx(32 * stretch[2], rel=0.07)


def test_densities_vary_by_structure_and_bones_keep_their_place(
    volumes: tuple[Path, Path],
) -> None:
    body = read_ct(*volumes)
    varied = vary_densities(np.random.default_rng(1), body)
    assert np.array_equal(varied.bone, body.bone)
    inside, around = body.structure == 7, (body.structure == 0) & (body.flesh > 0.5)
    for new, old, here in (
        (varied.mineral, body.mineral, inside),
        (varied.flesh, body.flesh, around),
    ):
        known = here & (old > 0.1)
        ratio = new[known] / old[known]
        assert ratio.std() < 1e-5 and abs(float(ratio.mean()) - 1) > 1e-3


@pytest.mark.parametrize("seed", range(4))
def test_a_bend_moves_bone_and_flesh_alike_and_changes_the_body(
    seed: int, volumes: tuple[Path, Path]
) -> None:
    body = read_ct(*volumes)
    bend = Bend.draw(np.random.default_rng(seed), body.bone.shape[2])
    bone, flesh = bend(body.bone), bend(body.flesh + body.mineral)
    assert bone.shape == body.bone.shape and not np.allclose(bone, body.bone)
    assert bone.min() >= 0 and bone.max() <= 1.0001
    assert flesh[bone > 0.99].min() > 0.9  # bone stays within the body
    straight = Bend(np.arange(4.0), *(np.zeros(4),) * 2, *(np.ones(4),) * 2)
    block = np.random.default_rng(seed).random((5, 6, 4)).astype(np.float32)
    assert straight(block) == pytest.approx(block, abs=1e-6)


def test_one_seed_gives_one_film(volumes: tuple[Path, Path]) -> None:
    body = read_ct(*volumes)
    films = [ct_film(4, (96, 96), body) for _ in range(2)]
    assert np.array_equal(films[0].pixels, films[1].pixels)
    assert films[0].pixels.shape == films[0].mask.shape and max(films[0].mask.shape) == 96
    assert films[0].pixels.min() >= 0 and films[0].pixels.max() <= 1


def test_voxels_outside_the_field_of_view_are_air(
    volumes: tuple[Path, Path], tmp_path: Path
) -> None:
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


def test_invalid_volumes_are_one_clear_line(volumes: tuple[Path, Path], tmp_path: Path) -> None:
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
    for bones, told in (("a-b", "give numbers"), ("0-7", "0 is the unlabelled background")):
        done = boneseg("simulate", "--kind", "ct", "--ct", text, "--labels", text, "--bones", bones,
                       "--count", 1, "--out", tmp_path / "films")  # fmt: skip
        assert done.returncode == 2 and f"--bones {bones}: {told}" in done.stderr
