"""NIfTI masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from boneseg.dataset.open import open_dataset
from boneseg.errors import MaskError, UsageError
from boneseg.masks.formats import FORMATS
from boneseg.masks.read import read_mask
from tests.support.annotations import only_mask, square
from tests.support.readings import MASK, blobs, dicom_film, picture, reading, written
from tests.support.regions import SHAPE

NIFTI_TYPES = ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", ">i2", ">f4")


@pytest.mark.parametrize("dtype", NIFTI_TYPES)
@pytest.mark.parametrize("make", [nibabel.nifti1.Nifti1Image, nibabel.nifti2.Nifti2Image])
def test_every_type_of_nifti_is_read(dtype: str, make: Any, tmp_path: Path) -> None:
    picture(tmp_path / "images" / "knee.png")
    (tmp_path / "masks").mkdir()
    volume = (MASK.T[:, :, None] * 3).astype(dtype)
    endian = nibabel.nifti1.Nifti1Header if make is nibabel.nifti1.Nifti1Image else None
    header = endian(endianness=">") if endian and dtype[0] == ">" else None
    image = make(volume, np.diag([-1, -1, 1, 1]), header, dtype=volume.dtype)
    nibabel.save(image, tmp_path / "masks" / "knee.nii")
    (case,) = open_dataset(tmp_path, labels=["3"]).cases
    assert np.array_equal(case.read_mask(SHAPE), MASK)


@pytest.mark.parametrize("shape", [(80, 60), (80, 60, 1), (80, 60, 1, 1)])
def test_a_nifti_of_one_slice_has_any_number_of_axes(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    volume = MASK.T.astype(np.uint8).reshape(shape)
    image = nibabel.nifti1.Nifti1Image(volume, np.diag([-0.2, -0.2, 1, 1]))
    image.set_qform(image.affine)
    image.set_sform(None)  # the axes as a quaternion, with its rounding
    nibabel.save(image, tmp_path / "knee.nii.gz")
    assert np.array_equal(read_mask(tmp_path / "knee.nii.gz", SHAPE), MASK)


@pytest.mark.parametrize(("height", "version"), [(32_767, 348), (32_768, 540)])
def test_a_film_too_long_for_nifti_1_is_nifti_2(height: int, version: int, tmp_path: Path) -> None:
    mask = np.zeros((height, 5), bool)
    mask[32_000:, 3] = True
    one = replace(reading(picture(tmp_path / "leg.png"), MASK), mask=mask)
    FORMATS["nifti"].write(tmp_path / "leg.nii.gz", one)
    assert int(nibabel.load(tmp_path / "leg.nii.gz").header["sizeof_hdr"]) == version
    assert np.array_equal(read_mask(tmp_path / "leg.nii.gz", (height, 5)), mask)


@pytest.mark.parametrize(
    "affine",
    [np.eye(4), np.diag([-1, 1, 1, 1]), np.diag([-1, 0.5, 1, 1]), np.eye(4)[[1, 0, 2, 3]]],
    ids=str,
)
def test_a_nifti_in_another_orientation_is_refused(affine: Any, tmp_path: Path) -> None:
    picture(tmp_path / "images" / "knee.png")
    (tmp_path / "masks").mkdir()
    volume = square().T[:, :, None].astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(volume, affine), tmp_path / "masks" / "knee.nii.gz")
    with pytest.raises(MaskError, match="has axes rotated or mirrored relative to its film"):
        only_mask(tmp_path)


def test_values_of_a_nifti_are_labels(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "knee.png")
    (tmp_path / "masks").mkdir()
    values = square() + np.uint8(4) * blobs()
    volume = values.T[:, :, None]
    affine = np.diag([-1, -1, 1, 1])
    nibabel.save(nibabel.Nifti1Image(volume, affine), tmp_path / "masks" / "knee.nii.gz")
    assert np.array_equal(only_mask(tmp_path), values > 0)
    assert np.array_equal(only_mask(tmp_path, labels=["1"]), values == 1)
    with pytest.raises(UsageError, match="available: 1, 4, 5"):
        open_dataset(tmp_path, labels=["bone"])


def test_a_nifti_holds_no_time_so_that_a_second_one_is_the_same(tmp_path: Path) -> None:
    path = written("nifti", reading(picture(tmp_path / "knee.png"), MASK), tmp_path)
    assert path.read_bytes()[4:8] == bytes(4)  # of gzip (RFC 1952, 2.3)


def test_nifti_has_the_position_of_seg_nrrd(tmp_path: Path) -> None:
    film = dicom_film(tmp_path / "film.dcm", PixelSpacing=[0.2, 0.1])
    image = nibabel.load(written("nifti", reading(film, MASK), tmp_path))
    assert np.array_equal(np.asarray(image.dataobj)[:, :, 0].T > 0, MASK)
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    assert image.header.get_zooms() == pytest.approx((0.1, 0.2, 1))
    assert image.header.get_xyzt_units()[0] == "mm"
