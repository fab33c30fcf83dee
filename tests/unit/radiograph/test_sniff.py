"""The kind of a file is known by its first bytes, and by its name where they say nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from boneseg.radiograph.sniff import has_dicom_mark, is_dicom, is_tiff

DICOM = bytes(128) + b"DICM"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("film", DICOM, True),
        ("film.png", DICOM, True),  # the content decides
        ("film.dcm", b"\x08\x00\x05\x00CS", True),  # without a preamble
        ("film.DICOM", b"\x08\x00\x05\x00CS", True),
        ("film.dcm", b"\x89PNG\r\n\x1a\n", False),
        ("film.dcm", b"\xff\xd8\xff\xe0", False),
        ("film.dcm", b"II*\0", False),
        ("film.png", b"\x08\x00\x05\x00CS", False),
        ("film", b"", False),
    ],
)
def test_dicom_is_distinguished_from_images(
    tmp_path: Path, name: str, content: bytes, expected: bool
) -> None:
    (tmp_path / name).write_bytes(content)
    assert is_dicom(tmp_path / name) is expected


@pytest.mark.parametrize("mark", [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"])
def test_every_signature_of_tiff_is_known(tmp_path: Path, mark: bytes) -> None:
    (tmp_path / "film").write_bytes(mark + bytes(4))
    assert is_tiff(tmp_path / "film")
    (tmp_path / "film").write_bytes(mark[:3])
    assert not is_tiff(tmp_path / "film")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "film")
    with pytest.raises(OSError, match="not a regular file"):
        has_dicom_mark(tmp_path / "film")
