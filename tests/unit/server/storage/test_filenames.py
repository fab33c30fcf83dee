"""Client-supplied names are used as file names, never as paths."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boneseg.server.light_box import LightBox
from boneseg.server.storage.filenames import safe_name
from boneseg.server.storage.library import Library
from tests.support.lightbox import FOOT


@given(st.text(max_size=300))
@settings(max_examples=75, suppress_health_check=[HealthCheck.too_slow])
def test_uploaded_names_never_become_paths(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    library = Library(tmp_path_factory.mktemp("names") / "films")
    upload = library.hidden / "upload"
    upload.write_bytes(FOOT.read_bytes()[:200])
    entry = library.add(name, upload)
    assert entry.image.parent == library.inbox
    assert entry.image.is_file() and not entry.image.name.startswith(".")
    assert len(os.fsencode(entry.image.name)) < 200
    assert library.entries() == [entry]


# -- names -------------------------------------------------------------------------------------

NAMES = (
    *("%2e%2e", "%2e%2e%2f%2e%2e%2fx", "..%5c..%5cx", "%00", "a%00b", "%ff%fe", "%0a"),
    *("/etc/passwd", "%2fetc%2fpasswd", "C:%5cx", "\u202e", "h%C3%BCfte", "a" * 300, "a" * 5000),
    *(
        "0" * 12,
        "0" * 11,
        "A" * 12,
        "*",
        "~",
        "null",
        "-1",
        "%F0%9F%A6%B4",
        ".boneseg",
        "%3F",
        "%23",
    ),
)


def test_an_id_in_a_url_is_looked_up_and_never_a_path(client: TestClient, box: LightBox) -> None:
    secret = box.library.hidden / "x.bits.gz"
    secret.write_bytes(b"secret")
    paths = client.get("/openapi.json").json()["paths"]
    for path, operations in paths.items():
        for parameter in re.findall(r"{(\w+)}", path):
            for name in NAMES:
                filled = path.replace(f"{{{parameter}}}", name)
                filled = re.sub(r"{\w+}", "0" * 12, filled)
                for method in operations:
                    answer = client.request(method, filled)
                    assert answer.status_code in (400, 404, 405), (method, filled, answer.text)
                    assert b"secret" not in answer.content
    for name in NAMES:
        assert client.get(f"/static/{name}").status_code in (404, 405), name
        for query in ("after", "form", "state"):
            assert client.get("/api/next", params={query: name}).status_code == 200
    secret.unlink()


@pytest.mark.parametrize(
    ("head", "name", "expected"),
    [
        (b"II+\0\x08\0\0\0", "film.json", "film.tif"),  # BigTIFF
        (b"MM\0+\0\x08\0\0", "film.json", "film.tif"),
        (b"II*\0", "film.tiff", "film.tiff"),
        (b"II*\0", "film.seg.nrrd", "film.tif"),
        (b"\x89PNG\r\n\x1a\n", "film.dcm", "film.png"),
        (b"\x89PNG\r\n\x1a\n", "film.JPG", "film.png"),
        (b"\x89PNG\r\n\x1a\n", "film", "film.png"),
        (b"\xff\xd8\xff\xe0", "film.png", "film.jpg"),
        (b"\xff\xd8\xff\xe0", "film.JPEG", "film.jpeg"),
        (b"\0" * 128 + b"DICM", "film.png", "film.dcm"),
        (b"\0" * 128 + b"DICM", "1.2.840.5", "1.2.840.5.dcm"),
        (b"\0" * 128 + b"DICM", "film.DICOM", "film.dicom"),
        (b"BM", "film.txt", "film.bmp"),
        (b"RIFF\0\0\0\0WEBP", "film.nii.gz", "film.webp"),
    ],
)
def test_the_suffix_of_an_upload_follows_its_content(
    tmp_path: Path, head: bytes, name: str, expected: str
) -> None:
    path = tmp_path / "upload"
    path.write_bytes(head.ljust(200, b"\0"))
    assert "".join(safe_name(name, path)) == expected


@given(name=st.text(max_size=300), head=st.binary(max_size=200))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_safe_names_of_any_file_are_plain(tmp_path: Path, name: str, head: bytes) -> None:
    path = tmp_path / "upload"
    path.write_bytes(b"\x89PNG" + head)
    stem, suffix = safe_name(name, path)
    whole = stem + suffix
    assert suffix == ".png"
    assert not set(whole) & set("/\\\0\n") and whole not in (".", "..")
    assert len(os.fsencode(whole)) < 200 and sys.getfilesystemencoding() == "utf-8"
