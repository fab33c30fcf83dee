"""However large a file is, or says it is, reading it takes limited memory and time.

The large files here are sparse: a few kilobytes on disk, zeros to whoever reads them.
"""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from boneseg._util import files
from boneseg._util.files import file_digest, read_json
from boneseg.errors import DatasetError, MaskError, OutputError, RadiographError
from boneseg.masks.read import read_mask
from boneseg.radiograph import privacy, read
from boneseg.radiograph.discovery import find_radiographs
from boneseg.radiograph.film import MAX_PAGES
from boneseg.radiograph.read import read_radiograph
from boneseg.server.storage import history
from boneseg.server.storage.mask_states import Revisions
from tests.support.films import PATIENT, bone, dicom, tiff

GREY = bone(64, 64, top=255).astype(np.uint8)
OVER = 2**30 + 1
MEMORY = 500 * 2**20  # bytes that reading a large file of a small film may take

ALONE = """
import resource, sys
from pathlib import Path
from boneseg.errors import BonesegError
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[3]), int(sys.argv[3])))
if sys.argv[1] == "film":
    from boneseg.radiograph.read import read_radiograph as reader
else:
    from boneseg.masks.read import read_mask as reader
try:
    print(reader(Path(sys.argv[2])).shape)
except BonesegError as error:
    print(error)
"""

on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="RLIMIT_DATA is a limit on Linux alone"
)


def said(kind: str, path: Path) -> str:
    """What reading a film or mask in a process with little memory gives: its size, or the error."""
    call = [sys.executable, "-c", ALONE, kind, str(path), str(MEMORY)]
    return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()


def longer(path: Path, size: int = OVER) -> Path:
    """The file, with zeros behind it."""
    os.truncate(path, size)
    return path


def picture(path: Path) -> Path:
    Image.fromarray(GREY).save(path)
    return path


def stretched_png(path: Path, kind: bytes, size: int) -> Path:
    """A PNG with a chunk of `size` bytes, nearly all of them zeros, before its pixels."""
    content = picture(path).read_bytes()
    with path.open("wb") as file:
        file.write(content[:33] + struct.pack(">I4s", size, kind) + b"a\0")
        file.seek(41 + size)
        file.write(bytes(4) + content[33:])
    return path


def long_data(path: Path, size: int) -> Path:
    """A PNG whose last rows are black, and whose data are followed by zeros to `size` bytes."""
    Image.fromarray(np.vstack((GREY, np.zeros((8, 64), np.uint8)))).save(path)
    content = path.read_bytes()
    at = content.index(b"IDAT") - 4
    (length,) = struct.unpack_from(">I", content, at)
    with path.open("wb") as file:
        file.write(content[:at] + struct.pack(">I", size) + content[at + 4 : at + 8 + length])
        file.seek(at + 8 + size)
        file.write(content[at + 8 + length :])
    return path


def long_pixels(path: Path, size: int) -> Path:
    """A DICOM film of 64 x 64 pixels, whose pixel data has `size` bytes."""
    content = bytearray(dicom(path, bone(64, 64)).read_bytes())
    at = content.rindex(b"\xe0\x7f\x10\x00OW") + 8
    struct.pack_into("<I", content, at, size)
    path.write_bytes(content)
    return longer(path, at + 4 + size)


def pages(path: Path, count: int, turn: Callable[[int], int] = lambda number: number + 1) -> Path:
    """A TIFF of `count` pages with the same pixels; `turn` gives the number of the next one."""
    content = tiff(path, GREY).read_bytes()
    (first,) = struct.unpack_from("<I", content, 4)
    page = content[first:-4]
    places = [first + number * (len(page) + 4) for number in range(count)]
    following = [turn(number) for number in range(count)]
    after = [places[number] if number < count else 0 for number in following]
    chain = b"".join(page + struct.pack("<I", place) for place in after)
    path.write_bytes(content[:first] + chain)
    return path


# ---------------------------------------------------------------- films and masks


@on_linux
@pytest.mark.parametrize(
    ("name", "make", "limit"),
    [
        ("a.dcm", dicom, 1024),
        ("a.png", picture, 1024),
        ("a.tif", picture, 1024),
        ("a.bmp", picture, 1024),
        ("a.jpg", picture, 256),
        ("a.webp", picture, 256),
    ],
)
def test_a_film_over_the_limit_of_its_kind_is_refused_unread(name, make, limit, tmp_path):
    path = tmp_path / name
    make(path, bone(64, 64)) if make is dicom else make(path)
    words = "export it again, alone in its file"
    assert said("film", longer(path)) == (
        f"{path}: is a file of 1025 MiB, over the limit of {limit} MiB for its kind; {words}"
    )


@on_linux
@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "a.seg.nrrd", "a.nii", "a.dcm"])
def test_a_mask_over_the_limit_is_refused_unread(name, tmp_path):
    path = tmp_path / name
    if path.suffix in (".png", ".webp", ".tif"):
        picture(path)
    else:
        path.touch()
    assert "is a file of 1025 MiB, over the limit of" in said("mask", longer(path))


@on_linux
def test_a_document_of_annotations_over_the_limit_is_refused_unread(tmp_path):
    for name in ("a.json", "a.xml"):
        (tmp_path / name).touch()
        words = "cannot be read (over the limit of 512 MiB); check the file"
        path = longer(tmp_path / name, 2**29 + 1)
        assert said("mask", path) == f"{path}: {words}"


@on_linux
def test_a_nifti_that_unpacks_to_more_than_a_mask_is_refused(tmp_path):
    image = nibabel.nifti1.Nifti1Image(GREY, np.diag([-1.0, -1, 1, 1]))
    content = bytearray(image.to_bytes())
    for length, size in ((700_000_000, 700_000_000), (1024, 700_000_000), (-8, 1024)):
        struct.pack_into("<f", content, 108, 352 + size)  # where the pixels are
        extension = struct.pack("<ii", length, 6).ljust(1024, b"\0")
        with gzip.open(tmp_path / "a.nii.gz", "wb", 1) as file:
            file.write(content[:348] + b"\1\0\0\0" + extension)
            for _ in range(700):
                file.write(bytes(1_000_000))
        assert said("mask", tmp_path / "a.nii.gz") == (
            f"{tmp_path / 'a.nii.gz'}: has more before its pixels than a mask; save it again"
        )


@on_linux
def test_pixel_data_beyond_those_of_the_header_are_not_read(tmp_path):
    assert said("film", long_pixels(tmp_path / "a.dcm", 900_000_000)) == "(64, 64)"


@pytest.mark.parametrize("size", [1_000_000, 60_000_000, 900_000_000])
def test_zeros_behind_a_dicom_film_are_not_read(size, tmp_path):
    begun = time.process_time()
    assert read_radiograph(longer(dicom(tmp_path / "a.dcm", bone(64, 64)), size)).shape == (64, 64)
    assert time.process_time() - begun < 3  # every ten megabytes of empty elements take as much


def test_a_header_of_more_elements_than_a_film_has_is_not_read_to_its_end(tmp_path):
    content = dicom(tmp_path / "a.dcm", bone(64, 64)).read_bytes()
    begun = time.process_time()
    at = content.index(b"\x28\x00\x02\x00US")  # Samples per Pixel
    (tmp_path / "a.dcm").write_bytes(content[:at] + bytes(30_000_000) + content[at:])
    with pytest.raises(RadiographError, match="is damaged or truncated"):
        read_radiograph(tmp_path / "a.dcm")
    assert time.process_time() - begun < 5


@on_linux
def test_a_png_with_more_beside_its_pixels_than_pictures_have_is_refused(tmp_path):
    for kind in (b"tEXt", b"eXIf", b"prVt"):
        path = stretched_png(tmp_path / "a.png", kind, 900_000_000)
        assert said("film", path) == (
            f"{path}: is a PNG with 858 MiB beside its pixels, over the limit of 64 MiB; "
            "save it again"
        )


@on_linux
def test_data_of_a_png_beyond_its_rows_are_refused_or_read_in_parts(tmp_path):
    path = long_data(tmp_path / "a.png", 900_000_000)
    assert "is a PNG with 857 MiB beside its pixels" in said("film", path)
    assert said("film", long_data(path, 60_000_000)) == "(72, 64)"


@on_linux
def test_a_header_is_read_up_to_a_limit(tmp_path):
    path = dicom(tmp_path / "a.dcm", bone(64, 64))
    content = path.read_bytes()
    at = content.index(b"\x28\x00\x02\x00US")  # Samples per Pixel
    long = b"\x09\x00\x10\x10OB\0\0" + struct.pack("<I", 900_000_000)
    with path.open("wb") as file:
        file.write(content[:at] + long)
        file.seek(at + len(long) + 900_000_000)
        file.write(content[at:])
    assert said("film", path).startswith("film-")  # whose patient is not known, then
    assert "memory" not in said("film", path)


def test_a_film_over_the_limit_does_not_name_the_patient(tmp_path, monkeypatch):
    for module in (privacy, read):
        monkeypatch.setattr(module, "MAX_BYTES", 5000)
    monkeypatch.setattr(read, "check_bytes", lambda path, size: privacy_of(path))
    path = dicom(tmp_path / f"{PATIENT}.dcm", bone(64, 64))
    with pytest.raises(RadiographError) as refusal:
        read_radiograph(path)
    assert str(refusal.value) == f"film-{file_digest(path, 5000)[:12]}.dcm"


def privacy_of(path: Path) -> None:
    raise RadiographError(str(path))


# ---------------------------------------------------------------- tables, reports and history


def test_a_table_over_the_limit_is_refused_unread(tmp_path):
    from boneseg.dataset.tables import _rows

    film, table = picture(tmp_path / "a.png"), tmp_path / "calibration.csv"
    table.touch()
    longer(table, files.LARGEST + 1)
    with pytest.raises(RadiographError, match=r"calibration.csv .*over the limit of 64 MiB"):
        read_radiograph(film)
    with pytest.raises(DatasetError, match="over the limit of 64 MiB"):
        _rows(table)


def test_a_report_over_the_limit_lists_no_results(tmp_path):
    film, report = picture(tmp_path / "a.png"), tmp_path / "segment.json"
    report.touch()
    longer(report, files.LARGEST_REPORT + 1)
    assert find_radiographs([tmp_path]) == [film]


def test_a_document_of_more_values_than_fit_in_memory_is_refused(monkeypatch):
    monkeypatch.setattr(files, "MOST_VALUES", 100)
    assert len(read_json("[" + "[]," * 48 + "[]]")) == 49
    for text in ("[" + "[]," * 60 + "[]]", b"[" + b"{}," * 60 + b"{}]"):
        with pytest.raises(ValueError, match="more than 100 values"):
            read_json(text)


def test_a_mask_over_the_limit_is_not_taken_into_the_history(tmp_path, monkeypatch):
    mask = picture(tmp_path / "a.png")
    known = Revisions().of(mask)
    monkeypatch.setattr(history, "MAX_BYTES", mask.stat().st_size)
    assert Revisions().of(longer(mask, 1_000_000)) == known  # the digest of as much
    with pytest.raises(OutputError, match=r"a.png: cannot be kept in the history \(over the limit"):
        history.History(tmp_path / "history").remember("a", mask)


# ---------------------------------------------------------------- pages of a TIFF


def test_a_tiff_of_many_pages_is_refused_at_once(tmp_path):
    path = pages(tmp_path / "a.tif", 40_000)
    for frame in (None, MAX_PAGES + 1):
        begun = time.process_time()
        with pytest.raises(RadiographError) as refusal:
            read_radiograph(path, frame=frame)
        assert time.process_time() - begun < 3  # all pages take half a minute
        assert str(refusal.value) == (
            f"{path}: holds more than 1000 frames; choose one of the first 1000 with segment "
            "--frame N, or save the one you need alone"
        )
    assert read_radiograph(path, frame=3).shape == (64, 64)
    with pytest.raises(MaskError, match="holds several images"):
        read_mask(path)


@pytest.mark.parametrize("count", [2, 3, MAX_PAGES])
def test_the_pages_of_a_tiff_are_counted(count, tmp_path):
    path = pages(tmp_path / "a.tif", count)
    assert read_radiograph(path, frame=count).shape == (64, 64)
    with pytest.raises(RadiographError, match=f"holds {count} frames; .* 1 to {count}$"):
        read_radiograph(path)
    with pytest.raises(RadiographError, match=f"has no frame {count + 1}; it holds {count}$"):
        read_radiograph(path, frame=count + 1)


def test_pages_that_return_to_an_earlier_one_end_there(tmp_path):
    path = pages(tmp_path / "a.tif", 3, turn=lambda number: (number + 1) % 3)
    with pytest.raises(RadiographError, match="holds 3 frames"):
        read_radiograph(path)
    assert read_radiograph(pages(path, 1, turn=lambda number: 0)).shape == (64, 64)


def test_pages_of_more_tags_than_pictures_have_are_refused_at_once(tmp_path):
    """A megabyte whose pages overlap, each of 60,000 tags: all of Pillow's time is for tags."""
    content = bytearray(8 + 12 * 60_000 + 4000)
    struct.pack_into("<2sHI", content, 0, b"II", 42, 8)
    for page in range(500):  # the end of each page is in the gap behind all tags
        at = 8 + 4 * page
        struct.pack_into("<H", content, at, 60_000)
        struct.pack_into("<I", content, at + 2 + 12 * 60_000, at + 4)
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    begun = time.process_time()
    with pytest.raises(RadiographError, match="unsupported or truncated TIFF"):
        read_radiograph(path)
    assert time.process_time() - begun < 3


def test_a_tag_of_more_numbers_than_a_picture_has_is_refused(tmp_path):
    content = bytearray(tiff(tmp_path / "a.tif", GREY).read_bytes())
    at = content.rindex(struct.pack("<HHI", 273, 4, 1))  # the places of the strips
    struct.pack_into("<II", content, at + 4, 5_000_000, len(content))
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(RadiographError, match="unsupported or truncated TIFF"):
        read_radiograph(longer(tmp_path / "a.tif", 30_000_000))
