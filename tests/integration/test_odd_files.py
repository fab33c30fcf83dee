"""Pipes, devices, links in circles and files without end, where a film or a document is expected.

Each is passed over or refused in one line, and the films beside it are done.
"""

from __future__ import annotations

import bz2
import gzip
import io
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boneseg._util.files import open_regular, read_bytes, real_path
from boneseg.bundle.store import load_bundle
from boneseg.errors import BonesegError, BundleError, MaskError, RadiographError
from boneseg.masks.annotations import is_annotation, open_annotations
from boneseg.masks.output import OutputFolder
from boneseg.masks.read import read_mask
from boneseg.radiograph.discovery import find_radiographs
from boneseg.radiograph.read import read_radiograph
from boneseg.recipes.toml import read_toml

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="named pipes")
ENDLESS = Path("/dev/zero")


def film(path: Path) -> Path:
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(path)
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def endless(path: Path) -> Path:
    path.symlink_to(ENDLESS)
    return path


@pytest.mark.parametrize("make", [pipe, endless])
@pytest.mark.parametrize("report", ["segment.json", "convert.json"])
def test_a_report_that_is_not_a_regular_file_is_ignored(tmp_path, make, report):
    good = film(tmp_path / "a.png")
    make(tmp_path / report)
    assert find_radiographs([tmp_path]) == [good]


def test_links_in_a_circle_are_a_film_that_cannot_be_read(tmp_path):
    good, one, other = film(tmp_path / "a.png"), tmp_path / "b.png", tmp_path / "c.png"
    one.symlink_to(other)
    other.symlink_to(one)
    (tmp_path / "folder").symlink_to(tmp_path)
    assert find_radiographs([tmp_path]) == [good, one, other]
    with pytest.raises(RadiographError, match=r"b\.png: there is no such file"):
        read_radiograph(one)
    targets = OutputFolder(tmp_path / "out", "segment.json", ["mask"]).targets([one], [one])
    assert [target.stem for target in targets] == ["b"]
    assert real_path(good) == good.resolve()


@pytest.mark.parametrize("make", [pipe, endless])
def test_documents_that_are_no_files_are_refused(tmp_path, make):
    with pytest.raises(BundleError, match=r"model\.json: cannot be read"):
        make(tmp_path / "model.json")
        load_bundle(tmp_path)
    with pytest.raises(BonesegError, match=r"a\.toml: cannot be read"):
        read_toml(make(tmp_path / "a.toml"))
    for name in ("a.json", "a.xml"):
        with pytest.raises(MaskError, match="cannot be read"):
            open_annotations(make(tmp_path / name))
    assert not is_annotation(make(tmp_path / "unknown"))


def test_a_file_is_read_up_to_a_size(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(OSError, match="over the limit"):
        read_bytes(path, 4)
    with pytest.raises(OSError, match=r"irectory|not a regular"):
        open_regular(tmp_path)


@pytest.mark.parametrize(("times", "refused"), [(20, False), (3000, True)])
def test_a_jpeg_of_thousands_of_scans_is_refused(tmp_path, times, refused):
    file, path = io.BytesIO(), tmp_path / "a.jpg"
    Image.fromarray(np.zeros((1000, 1000), np.uint8)).save(file, "JPEG", progressive=True)
    frame = file.getvalue()
    last = frame[frame.rindex(b"\xff\xda") : -2]
    path.write_bytes(frame[:-2] + times * last + b"\xff\xd9")
    if not refused:
        assert read_radiograph(path).pixels.max() == 0
        assert not read_mask(path).any()
        return
    with pytest.raises(RadiographError, match="scans, more than any picture needs"):
        read_radiograph(path)
    with pytest.raises(MaskError, match="scans, more than any picture needs"):
        read_mask(path)


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("bzip2", bz2.compress)])
def test_a_packed_nrrd_of_empty_members_is_refused_at_once(tmp_path, encoding, pack):
    header = f"NRRD0004\ntype: uchar\ndimension: 2\nsizes: 64 64\nencoding: {encoding}\n\n"
    path, noise = tmp_path / "a.nrrd", np.random.default_rng(0).integers(0, 2, 4096, np.uint8)
    path.write_bytes(header.encode() + pack(noise[:2000].tobytes()) + pack(noise[2000:].tobytes()))
    np.testing.assert_array_equal(read_mask(path), noise.reshape(64, 64) > 0)
    path.write_bytes(header.encode() + 300_000 * pack(b""))
    started = time.process_time()
    with pytest.raises(MaskError, match="is damaged"):
        read_mask(path)
    assert time.process_time() - started < 2
