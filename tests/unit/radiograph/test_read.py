"""The contract of reading an image."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset

from boneseg.errors import RadiographError, UsageError
from boneseg.radiograph import read
from boneseg.radiograph.read import read_as_stored, read_radiograph
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
    ],
)
def test_a_file_that_is_no_film_is_refused_in_one_line(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(RadiographError, match=words) as refusal:
        read_radiograph(path)
    assert str(refusal.value).startswith(f"{path}: ") and "\n" not in str(refusal.value)


def test_a_film_that_ends_within_a_sequence_is_called_damaged(tmp_path):
    """pydicom raises an OSError there, which the system does not."""
    item = Dataset()
    item.RequestedProcedureID = "RP-1"
    path = dicom(tmp_path / "ROE_JANE.dcm", bone(), PatientName="ROE^JANE")
    dataset = dcmread(path)
    dataset.RequestAttributesSequence = [item]
    dataset["RequestAttributesSequence"].is_undefined_length = True
    dataset.save_as(path)
    path.write_bytes(path.read_bytes().partition(b"RP-1")[0] + b"RP-1")
    with pytest.raises(
        RadiographError, match=r"^film-.*: is damaged or truncated; copy"
    ) as refusal:
        read_radiograph(path)
    assert "I/O" not in str(refusal.value)


@pytest.mark.parametrize("rest", [b"", bytes(range(256))])
def test_a_film_that_is_damaged_behind_the_mark_is_refused_in_one_line(tmp_path, rest):
    """Whom it shows is unknown, so its name may say it."""
    path = tmp_path / "a.dcm"
    path.write_bytes(bytes(128) + b"DICM" + rest)
    with pytest.raises(RadiographError, match=r"^film-[0-9a-f]{12}\.dcm: .*not a DICOM") as refusal:
        read_radiograph(path)
    assert "\n" not in str(refusal.value)


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


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            PermissionError(13, "Permission denied"),
            "cannot be opened (Permission denied); check the file",
        ),
        (OSError("no number"), "is damaged or truncated; copy or export it again"),
    ],
)
def test_what_the_system_refuses_is_told_from_what_a_library_does(
    tmp_path, monkeypatch, error, words
):
    def fails(*_, **__):
        raise error

    path = saved(tmp_path / "knee.png", GREY)
    monkeypatch.setattr(read, "read_picture", fails)
    with pytest.raises(RadiographError) as refusal:
        read_radiograph(path)
    assert str(refusal.value) == f"{path}: {words}"


def test_a_lack_of_memory_is_said(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise MemoryError

    path = dicom(tmp_path / "ROE_JANE.dcm", bone(), PatientName="ROE^JANE")
    monkeypatch.setattr("boneseg.radiograph.dicom.read.read_dicom", fails)
    with pytest.raises(RadiographError) as refusal:
        read_radiograph(path, keep_names=True)
    assert str(refusal.value) == f"{path}: there is not enough memory to read it"
    with pytest.raises(RadiographError, match=r"^film-[0-9a-f]{12}\.dcm: there is not enough"):
        read_radiograph(path)


def test_frames_are_counted_from_1(tmp_path):
    path = saved(tmp_path / "knee.png", GREY)
    assert read_radiograph(path, frame=1).frame == read_radiograph(path).frame == 1
    for frame in (0, -1):
        with pytest.raises(UsageError) as refusal:
            read_radiograph(path, frame=frame)
        assert str(refusal.value) == f"--frame {frame}: frames are counted from 1"


def test_an_error_of_the_table_names_the_film_as_others_do(tmp_path):
    (tmp_path / "calibration.csv").write_text("no table\n")
    path = dicom(tmp_path / "ROE_JANE.dcm", bone(), PatientName="ROE^JANE")
    with pytest.raises(RadiographError, match=r"^film-[0-9a-f]{12}\.dcm: calibration\.csv does"):
        read_radiograph(path)
    with pytest.raises(RadiographError, match=r"ROE_JANE\.dcm: calibration\.csv does not begin"):
        read_radiograph(path, keep_names=True)
    assert read_radiograph(path, spacing=0.2).spacing_mm == (0.2, 0.2)  # needs no table


def test_a_width_is_checked_before_the_film_is_read(tmp_path):
    with pytest.raises(UsageError, match=r"^spacing 11: give the width of a pixel"):
        read_radiograph(tmp_path / "none.png", spacing=11)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_film_is_read_as_its_file_stores_it(tmp_path, kind):
    path = dicom(tmp_path / "knee.dcm", np.stack([bone(), bone()[::-1]]), PixelSpacing=[0.2, 0.2])
    (tmp_path / "calibration.csv").write_text("name,mm_per_pixel\nknee,0.15\n")
    film = read_as_stored(kind(path), frame=2, invert=True)
    assert (film.spacing_mm, film.spacing_kind, film.frame) == ((0.2, 0.2), "uncalibrated", 2)
    film = read_radiograph(kind(path), frame=2, invert=True)
    assert (film.spacing_mm, film.spacing_kind, film.frame) == ((0.15, 0.15), "user", 2)
    assert film.source == path and film.pixels[0, 0] > 0.5  # inverted


def test_a_picture_is_as_bright_as_its_file_or_inverted(tmp_path):
    path = saved(tmp_path / "knee.png", GREY)
    for invert in (False, True):
        film = read_as_stored(path, invert=invert)
        expected = 1 - GREY / 255 if invert else GREY / 255
        np.testing.assert_allclose(film.pixels, expected, atol=1e-6)
        assert (film.spacing_mm, film.spacing_kind, film.aspect) == (None, "unknown", 1)
