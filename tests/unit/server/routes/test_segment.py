"""POST /api/segment: a film in, its mask out; other files are refused in one line."""

from __future__ import annotations

import base64
import io
import itertools
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from boneseg.bundle.shipped import bundled
from boneseg.inference.engine import Engine
from boneseg.radiograph.read import read_radiograph
from boneseg.server.app import create_app
from boneseg.server.errors import BusyError
from boneseg.server.light_box import LightBox
from boneseg.server.storage.library import Library
from boneseg.server.workers.tasks import SegmentUpload
from tests.support.films import dicom
from tests.support.lightbox import FOOT, HERE, fill, png_that_claims, post

# -- bones ---------------------------------------------------------------------------------------


def test_the_response_for_a_film_is_the_mask_of_the_engine(client: TestClient) -> None:
    engine = Engine()
    expected = engine.find(read_radiograph(FOOT))
    answer = post(client, "foot.png", FOOT.read_bytes())
    assert answer.status_code == 200
    mask = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 255}
    # Of 16-bit floats the last digits hang on how many cores share the network
    clear = abs(expected.probability - engine.bundle.card.threshold) > 0.03
    assert clear.mean() > 0.95
    assert np.array_equal((mask > 0)[clear], expected.mask[clear])
    again = [post(client, "foot.png", FOOT.read_bytes()).content for _ in range(4)]
    assert set(again) == {answer.content}  # whichever worker it was
    told = post(client, "foot.png", FOOT.read_bytes(), accept="application/json").json()
    assert told["area_px"] == (mask > 0).sum()
    assert base64.b64decode(told["mask_png"]) == answer.content


def test_a_dicom_film_is_answered_with_a_dicom_segmentation(
    client: TestClient, tmp_path: Path
) -> None:
    film = (np.asarray(Image.open(FOOT).convert("L")).astype(np.uint16) * 16)[:200, :160]
    path = dicom(
        tmp_path / "foot.dcm",
        np.ascontiguousarray(film),
        StudyInstanceUID=pydicom.uid.generate_uid(),
        SeriesInstanceUID=pydicom.uid.generate_uid(),
    )
    answer = post(client, "foot.dcm", path.read_bytes(), accept="application/dicom")
    assert answer.status_code == 200, answer.text
    found = pydicom.dcmread(io.BytesIO(answer.content))
    mask = np.asarray(Image.open(io.BytesIO(post(client, "f.dcm", path.read_bytes()).content)))
    assert found.Modality == "SEG"
    assert np.array_equal(found.pixel_array.squeeze() > 0, mask > 0)
    answer = post(client, "foot.png", FOOT.read_bytes(), accept="application/dicom")
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("foot.png: is not a DICOM film")


def zip_bomb() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("film.png", b"\0" * 2**24)
    return packed.getvalue()


BAD = {
    "text.txt": b"no film at all\n" * 20,
    "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "bomb.zip": zip_bomb(),
    "bomb.png": png_that_claims(100_000, 100_000),
    "long.png": png_that_claims(2, 2**31 - 1),
    "empty.png": b"",
    "cut.png": FOOT.read_bytes()[:5000],
    "text.dcm": b"no film at all\n" * 20,
    "../../etc/passwd": b"root:x:0:0:root:/root:/bin/bash\n",
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("path", ["/api/segment", "/api/films"])
def test_a_file_that_is_not_a_film_is_refused_in_one_line(
    client: TestClient, box: LightBox, name: str, path: str
) -> None:
    before = client.get("/api/films").json()["films"]
    answer = post(client, name, BAD[name], path)
    line = answer.json()["error"]
    assert answer.status_code == 422, line
    assert line.startswith(f"{name.rpartition('/')[2]}: ")
    assert "\n" not in line and str(box.library.root) not in line
    assert len(client.get("/api/films").json()["films"]) == len(before)
    assert not list(box.spool.iterdir())


def test_a_request_without_a_film_gets_advice(client: TestClient) -> None:
    assert client.post("/api/segment").status_code == 400
    answer = client.post("/api/segment", files={"picture": ("a.png", b"a")})
    assert answer.json()["error"].startswith("no file in the request; send one")
    answer = client.post(
        "/api/segment", files={"file": ("a.png", b"")}, headers={"accept": "text/css"}
    )
    assert answer.status_code == 400


def test_an_upload_without_content_length_is_limited(client: TestClient) -> None:
    sent = itertools.count()

    def endless() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        while next(sent) < 100:
            yield b"\0" * 2**18

    answer = client.post(
        "/api/segment",
        content=endless(),
        headers={"content-type": "multipart/form-data; boundary=x"},
    )
    assert answer.status_code == 413
    assert answer.json()["error"].startswith("the upload exceeds the limit of 4 MiB")


def test_a_full_queue_says_when_to_retry(box: LightBox, large: Path, tmp_path: Path) -> None:
    small = LightBox(Library(fill(tmp_path / "films")), bundled(), most_waiting=1, workers=1)
    client = TestClient(create_app(small), base_url=HERE)  # no segment_all: it is not entered
    try:
        first = small.jobs.submit(SegmentUpload(large, "large.png", "mask"))
        while not (first.running() or first.done()):
            time.sleep(0.01)
        second = small.jobs.submit(SegmentUpload(large, "large.png", "mask"))
        with pytest.raises(BusyError):
            small.jobs.submit(SegmentUpload(large, "large.png", "mask"))
        answer = post(client, "foot.png", FOOT.read_bytes())
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        first.result(60), second.result(60)
        assert post(client, "foot.png", FOOT.read_bytes()).status_code == 200
    finally:
        small.close()
