"""The contract of reading an image."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boneseg.errors import RadiographError
from boneseg.radiograph.read import read_radiograph
from tests.support.films import bone, dicom
from tests.support.pictures import GREY, saved


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "webp"])
def test_a_file_cut_short_is_refused(tmp_path, suffix):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8)
    path = saved(tmp_path / f"a.{suffix}", noise)
    whole = path.read_bytes()
    for part in (0.02, 0.3, 0.6, 0.95):
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(RadiographError) as refusal:
            read_radiograph(path)
        assert str(refusal.value).startswith(f"{path}: ") and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.png", b"", "is empty"),
        ("a.png", b"no picture at all\n", "not a readable image"),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a readable image"),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n", "not a readable image"),
        ("a.dcm", b"", "is empty"),
        ("a.dcm", b"no DICOM at all\n", "not a DICOM"),
        ("a.dcm", bytes(128) + b"DICM", "not a DICOM"),
        ("a", bytes(128) + b"DICM" + bytes(range(256)), "not a DICOM"),
    ],
)
def test_a_file_that_is_no_film_is_refused_in_one_line(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(RadiographError, match=words) as refusal:
        read_radiograph(path)
    assert str(refusal.value).startswith(f"{path}: ") and "\n" not in str(refusal.value)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp"])
def test_a_picture_that_is_called_dicom_is_a_picture(tmp_path, suffix):
    path = saved(tmp_path / f"a{suffix}", GREY)
    expected = read_radiograph(path).pixels
    renamed = path.rename(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_radiograph(renamed).pixels, expected)
    renamed.write_bytes(renamed.read_bytes()[:60])
    with pytest.raises(RadiographError, match="PNG"):  # no word of DICOM
        read_radiograph(renamed)


def test_folders_and_missing_files_are_refused(tmp_path):
    with pytest.raises(RadiographError, match="is a folder"):
        read_radiograph(tmp_path)
    with pytest.raises(RadiographError, match="no such file"):
        read_radiograph(tmp_path / "none.png")


def test_an_error_names_the_file_by_a_hash_if_its_name_identifies_the_patient(tmp_path):
    path = dicom(tmp_path / "ROE_JANE.dcm", bone(), PatientName="ROE^JANE")
    with pytest.raises(RadiographError, match=r"^film-[0-9a-f]{12}\.dcm: ") as refusal:
        read_radiograph(path, frame=9)
    assert "ROE" not in str(refusal.value)
    with pytest.raises(RadiographError, match=r"ROE_JANE\.dcm: "):
        read_radiograph(path, frame=9, keep_names=True)


@given(st.binary(max_size=300))
def test_no_bytes_give_a_traceback(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("bytes")
    for name in ("a.png", "a.dcm"):
        (folder / name).write_bytes(content)
        with pytest.raises(RadiographError):
            read_radiograph(folder / name)


def test_import_is_light():
    """Importing pydicom takes a fifth of a second, and is not done for PNG."""
    program = (
        "import sys, boneseg.radiograph.read; print({'pydicom', 'scipy', 'gdcm'} & {*sys.modules})"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert told.stdout == "set()\n"
