"""The light box as programs see it: bones of a film, masks saved with a history, bad input."""

from __future__ import annotations

import base64
import gzip
import io
import itertools
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import httpx
import numpy as np
import pydicom
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from boneseg._util.files import own_folder
from boneseg.bundle.shipped import bundled, sample_films
from boneseg.dataset.case import Case
from boneseg.dataset.splits import units
from boneseg.errors import DatasetError, OutputError, UsageError
from boneseg.inference.engine import Engine
from boneseg.masks.formats import FORMATS
from boneseg.radiograph.read import read_radiograph
from boneseg.server.active_learning import Candidate, correction_order
from boneseg.server.app import create_app
from boneseg.server.encoding import packed_mask, packed_probability, unpacked_mask
from boneseg.server.errors import BusyError, ConflictError, WorkerDiedError
from boneseg.server.light_box import LightBox
from boneseg.server.retraining.held_out import hold_out, split
from boneseg.server.retraining.records import Request, Run
from boneseg.server.retraining.runs import Runs
from boneseg.server.retraining.supervisor import Retraining
from boneseg.server.storage.entry import Entry
from boneseg.server.storage.library import Library
from boneseg.server.storage.mask_states import NO_MASK
from boneseg.server.workers.job_queue import JobQueue, shares
from boneseg.server.workers.tasks import SegmentFilm, SegmentUpload
from boneseg.server.workers.worker import Worker
from tests.support.films import dicom
from tests.support.lightbox import COMMAND, address_of, fill, refused, served

HERE = "http://127.0.0.1"
FOOT = sample_films() / "foot.png"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LightBox]:
    folder = fill(tmp_path_factory.mktemp("box") / "films", "hand", "knee")
    opened = LightBox(Library(folder), bundled())
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(box: LightBox) -> Iterator[TestClient]:
    with TestClient(create_app(box, max_bytes=4 * 2**20), base_url=HERE) as opened:
        yield opened


def film_of(client: TestClient, name: str) -> dict:
    rows = client.get("/api/films").json()["films"]
    return client.get(f"/api/films/{next(r['id'] for r in rows if r['name'] == name)}").json()


def post(client: TestClient, name: str, content: bytes, path: str = "/api/segment", **headers: str):
    return client.post(path, files={"file": (name, content)}, headers=headers)


# -- bones ---------------------------------------------------------------------------------------


def test_a_film_in_and_the_engines_mask_out(client: TestClient) -> None:
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


def test_a_dicom_film_in_and_a_segmentation_of_it_out(client: TestClient, tmp_path: Path) -> None:
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


def png_that_claims(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


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
def test_what_is_no_film_is_told_in_one_line(
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


def test_a_request_without_a_film_is_told_what_to_send(client: TestClient) -> None:
    assert client.post("/api/segment").status_code == 400
    answer = client.post("/api/segment", files={"picture": ("a.png", b"a")})
    assert answer.json()["error"].startswith("no file in the request; send one")
    answer = client.post(
        "/api/segment", files={"file": ("a.png", b"")}, headers={"accept": "text/css"}
    )
    assert answer.status_code == 400


def test_an_upload_that_says_it_is_too_large_is_not_read() -> None:
    with served() as address:
        port = int(address.rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 20) as line:
            line.sendall(
                b"POST /api/segment HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2147483648\r\n"
                b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
            )
            assert b" 413 " in line.recv(1000).splitlines()[0]


def test_an_upload_that_does_not_say_is_cut_off(client: TestClient) -> None:
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


# -- masks ---------------------------------------------------------------------------------------


def test_a_mask_is_saved_into_the_dataset_and_found_again(
    client: TestClient, box: LightBox
) -> None:
    film = film_of(client, "hand")
    address, shape = f"/api/films/{film['id']}", (film["height"], film["width"])
    assert client.get(f"{address}/mask").status_code == 404
    drawn = np.zeros(shape, bool)
    drawn[10:90, 20:50] = True
    bits = {"content-type": "application/octet-stream", "if-match": '"none"'}
    saved = client.put(f"{address}/mask", content=np.packbits(drawn).tobytes(), headers=bits)
    assert saved.status_code == 200, saved.text
    assert saved.json()["state"] == "corrected"
    on_disk = np.asarray(Image.open(box.library.masks / "hand.png"))
    assert np.array_equal(on_disk, drawn * np.uint8(255))
    got = client.get(f"{address}/mask", headers={"accept": "application/octet-stream"})
    assert np.array_equal(unpacked_mask(got.content, shape, ""), drawn)
    assert got.headers["etag"].strip('"') == saved.json()["revision"]


def test_two_tabs_do_not_overwrite_each_other_and_nothing_is_lost(client: TestClient) -> None:
    film = film_of(client, "knee")
    address, shape = f"/api/films/{film['id']}", (film["height"], film["width"])
    first, second = np.zeros(shape, bool), np.ones(shape, bool)

    def save(mask: np.ndarray, seen: str, state: str = "corrected"):
        headers = {"content-type": "image/png", "if-match": f'"{seen}"'}
        encoded = io.BytesIO()
        Image.fromarray(mask).save(encoded, "PNG")
        path = f"{address}/mask?state={state}"
        return client.put(path, content=encoded.getvalue(), headers=headers)

    one = save(first, film["revision"])
    assert one.status_code == 200
    two = save(second, film["revision"])
    assert two.status_code == 409
    assert two.json()["error"].startswith("knee: was saved elsewhere")
    two = save(second, one.json()["revision"], "accepted")
    assert two.json()["state"] == "accepted"
    versions = client.get(f"{address}/history").json()
    assert [v["revision"] for v in versions] == [r.json()["revision"] for r in (two, one)]
    earlier = client.get(f"{address}/history/{versions[1]['revision']}")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(earlier.content))) > 0, first)


def test_a_mask_of_another_size_or_kind_is_refused(client: TestClient) -> None:
    address = f"/api/films/{film_of(client, 'hand')['id']}/mask"
    small = png_that_claims(8, 8)
    bits, kind_of_png = "application/octet-stream", "image/png"
    for content, kind in ((b"123", bits), (b"123", kind_of_png), (small, kind_of_png)):
        headers = {"content-type": kind, "if-match": "*"}
        answer = client.put(address, content=content, headers=headers)
        assert answer.status_code == 422
        assert answer.json()["error"].startswith("hand: ")  # and no path of the server's own
    headers = {"content-type": "text/html", "if-match": "*"}
    assert client.put(address, content=b"1", headers=headers).status_code == 415


def test_a_dropped_film_joins_the_dataset_when_it_is_saved(
    client: TestClient, box: LightBox
) -> None:
    dropped = post(client, "../../sub/foot?.png", FOOT.read_bytes(), "/api/films").json()
    assert dropped["inbox"] and dropped["name"] == "foot_"
    again = post(client, "foot_.png", FOOT.read_bytes(), "/api/films").json()
    assert again["name"] == "foot_-2"
    assert client.delete(f"/api/films/{again['id']}").status_code == 204
    bits = np.packbits(np.ones((dropped["height"], dropped["width"]), bool)).tobytes()
    headers = {"content-type": "application/octet-stream", "if-match": '"none"'}
    saved = client.put(f"/api/films/{dropped['id']}/mask", content=bits, headers=headers)
    assert saved.json()["inbox"] is False and saved.json()["id"] == dropped["id"]
    assert (box.library.images / "foot_.png").read_bytes() == FOOT.read_bytes()
    assert (box.library.masks / "foot_.png").is_file()
    assert client.delete(f"/api/films/{dropped['id']}").status_code == 409


def test_a_draft_outlives_the_tab_until_the_mask_is_saved(client: TestClient) -> None:
    film = film_of(client, "hand")
    address = f"/api/films/{film['id']}"
    bits = np.packbits(np.ones((film["height"], film["width"]), bool)).tobytes()
    kind = {"content-type": "application/octet-stream"}
    assert client.put(f"{address}/draft", content=bits, headers=kind).status_code == 204
    assert client.get(address).json()["draft"] is True
    assert client.get(f"{address}/draft").content == bits
    seen = {"if-match": f'"{film["revision"]}"'}
    assert client.put(f"{address}/mask", content=bits, headers=kind | seen).status_code == 200
    assert client.get(f"{address}/draft").status_code == 404


def test_every_download_of_a_film(client: TestClient) -> None:
    film = film_of(client, "knee")
    shape = (film["height"], film["width"])
    assert film["state"] == "accepted"  # by the test of two tabs: a mask of bone all over
    for form, written in FORMATS.items():
        answer = client.get(f"/api/films/{film['id']}/download?form={form}")
        if form.startswith("dicom-seg"):  # the film is a PNG
            assert answer.status_code == 422
            continue
        assert answer.status_code == 200, answer.text
        assert f"knee{written.suffix or '_' + written.document}" in str(answer.headers)
        if form in ("mask", "overlay", "probability"):
            assert np.asarray(Image.open(io.BytesIO(answer.content))).shape[:2] == shape
        if form == "coco":
            assert answer.json()["annotations"][0]["area"] == shape[0] * shape[1]
    assert client.get(f"/api/films/{film['id']}/download?form=exe").status_code == 400


def test_a_mask_of_another_size_in_the_folder_is_told_and_ends_no_worker(
    client: TestClient, box: LightBox
) -> None:
    image, mask = box.library.images / "odd.png", box.library.masks / "odd.png"
    shutil.copy(FOOT, image)
    Image.new("L", (60, 50)).save(mask)
    deaths = box.jobs.deaths
    try:
        film = film_of(client, "odd")
        for form in ("mask", "coco"):
            answer = client.get(f"/api/films/{film['id']}/download?form={form}")
            assert answer.status_code == 422, answer.text
            assert "mask is 50 x 60 pixels" in answer.json()["error"]
    finally:
        image.unlink()
        mask.unlink()
    assert box.jobs.deaths == deaths


def test_a_download_does_not_say_whose_film_it_is(client: TestClient, box: LightBox) -> None:
    path = box.library.images / "Beeblebrox_hand.dcm"
    dicom(path, (np.asarray(Image.open(FOOT).convert("L")).astype(np.uint16) * 16)[:100, :100])
    try:
        film = film_of(client, "Beeblebrox_hand")  # on the page: it is the name in the folder
        for form in ("mask", "coco", "labelme", "measurements"):
            answer = client.get(f"/api/films/{film['id']}/download?form={form}")
            assert answer.status_code == 200, answer.text
            told = answer.headers["content-disposition"].encode() + answer.content
            assert re.search(rb"film-[0-9a-f]{12}|coco|measurements", told)
            assert b"beeblebrox" not in told.lower()
    finally:
        path.unlink()


def test_what_another_program_does_in_the_folder_is_seen(tmp_path: Path) -> None:
    library = Library(fill(tmp_path / "films", "hand", "knee"))
    seen = [library.version]
    for change in (
        (library.images / "knee.png").unlink,
        lambda: (library.images / "foot.png").write_bytes(FOOT.read_bytes()),
        lambda: Image.new("L", (8, 8)).save(library.masks / "foot.png"),
    ):
        time.sleep(0.02)  # a folder's time has a grain
        change()
        library.entries()
        seen.append(library.version)
    assert seen == sorted(set(seen))
    assert [entry.name for entry in library.entries()] == ["foot", "hand"]
    assert library.version == seen[-1]


def test_a_film_whose_name_is_no_text_is_listed_and_corrected(
    client: TestClient, box: LightBox
) -> None:
    path = box.library.images / os.fsdecode(b"h\xfcfte.png")
    path.write_bytes(FOOT.read_bytes())
    film = film_of(client, r"h\udcfcfte")
    address = f"/api/films/{film['id']}"
    png = client.get(f"{address}/suggestion").content
    headers = {"content-type": "image/png", "if-match": '"none"'}
    try:
        assert client.put(f"{address}/mask", content=png, headers=headers).status_code == 200
        assert (box.library.masks / path.name).is_file()
        assert client.get(f"{address}/download").headers["content-disposition"].isascii()
        refused = client.put(f"{address}/mask", content=png, headers=headers)
        assert refused.status_code == 409
        assert refused.json()["error"].startswith(r"h\udcfcfte: was saved elsewhere")
    finally:
        path.unlink()
        (box.library.masks / path.name).unlink(missing_ok=True)


def test_findings_that_somebody_removes_are_found_again(client: TestClient, box: LightBox) -> None:
    film = film_of(client, "hand")
    folder = box.library.cache.folder(film["id"])
    for remove in (lambda: shutil.rmtree(folder), *(path.unlink for path in folder.iterdir())):
        remove()
        for what in ("thumbnail", "suggestion", "pixels"):
            assert client.get(f"/api/films/{film['id']}/{what}").status_code == 200


def test_a_folder_has_its_name_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    monkeypatch.chdir(films)
    assert {Library(Path(way)).name for way in (".", "../films")} == {"films"}


def test_a_film_that_is_deleted_meanwhile_is_told(client: TestClient, box: LightBox) -> None:
    path = box.library.images / "gone.png"
    path.write_bytes(FOOT.read_bytes())
    film = next(row for row in client.get("/api/films").json()["films"] if row["name"] == "gone")
    big = np.zeros((4000, 4000), np.uint8)
    Image.fromarray(big).save(box.library.root / "big.png")
    big_film = SegmentUpload(box.library.root / "big.png", "big", "mask")
    waiting = [box.jobs.submit(big_film) for _ in box.jobs.workers]
    entry = box.library.entry(film["id"])
    queued = box.jobs.submit(SegmentFilm(path, entry.name, box.library.cache.folder(entry.id), ""))
    path.unlink()
    [future.result() for future in waiting]
    with pytest.raises(Exception, match=r"^gone: there is no such file"):
        queued.result()
    answer = client.get(f"/api/films/{film['id']}")
    assert answer.status_code == 404
    assert "no such film" in answer.json()["error"]


# -- who may ask ----------------------------------------------------------------------------------


def test_other_hosts_and_other_sites_are_refused(client: TestClient) -> None:
    assert client.get("/api/health", headers={"host": "films.example"}).status_code == 421
    assert client.get("/api/health", headers={"host": "localhost:8000"}).status_code == 200
    evil = {"origin": "http://films.example"}
    assert post(client, "foot.png", FOOT.read_bytes(), **evil).status_code == 403
    for broken in ("http://[", "null", ""):
        assert client.post("/api/train/stop", headers={"origin": broken}).status_code == 403
    assert client.get("/api/health", headers={"host": "["}).status_code == 421
    cross = {"sec-fetch-site": "cross-site"}
    assert client.post("/api/train", json={"minutes": 1}, headers=cross).status_code == 403
    ours = {"origin": HERE, "sec-fetch-site": "same-origin"}
    assert post(client, "foot.png", FOOT.read_bytes(), **ours).status_code == 200


def test_every_answer_bears_the_policy(client: TestClient) -> None:
    for path in ("/", "/api", "/static/main.js", "/api/health", "/nowhere", "/openapi.json"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/api/films/..%2f..%2fetc%2fpasswd/pixels",
        "/api/films/../../etc/passwd",
        "/api/films/000000000000/mask",
    ],
)
def test_no_way_leads_out_of_the_folder(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_token_is_asked_for_where_one_is_set(box: LightBox) -> None:
    app = create_app(box, token="s3cret")
    client = TestClient(app, base_url="http://films.example", follow_redirects=False)
    assert client.get("/api/health").status_code == 401
    assert client.get("/").status_code == 401
    assert client.get("/?token=wrong").status_code == 401
    form = client.get("/", headers={"accept": "text/html"})  # as a browser asks
    assert form.status_code == 401 and '<input type="password" name="token"' in form.text
    assert "error" in client.get("/api/films", headers={"accept": "text/html"}).json()
    bearer = {"authorization": "Bearer s3cret"}
    assert client.get("/api/health", headers=bearer).status_code == 200
    welcome = client.get("/?token=s3cret")
    assert welcome.status_code == 303
    assert "HttpOnly" in welcome.headers["set-cookie"]
    assert "SameSite=Strict" in welcome.headers["set-cookie"]
    assert client.get("/").status_code == 200  # by the cookie


@pytest.mark.parametrize("theirs", ["a/b=1", "x@y=1", 'k={"a": 1}', 'k="un', "k=[1,2]", "k", ""])
def test_cookies_of_other_programs_lock_nobody_out(box: LightBox, theirs: str) -> None:
    client = TestClient(create_app(box, token="s3cret"), base_url="http://films.example")
    for token, status in (("s3cret", 200), ("another", 401)):
        cookie = {"cookie": f"{theirs}; boneseg-token={token}; z=1"}
        assert client.get("/api/health", headers=cookie).status_code == status
    assert client.get("/api/health", headers={"cookie": theirs}).status_code == 401


def test_the_page_and_its_api_come_from_here_alone(client: TestClient) -> None:
    for path in ("/", "/api", *(f"/static/{p.name}" for p in static_files())):
        text = client.get(path).text
        others = re.findall(r"https?://[^\s\"'<`]*|[\"'(]//", text)
        assert set(others) <= {"http://www.w3.org/2000/svg"}, path
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/api/segment", "/api/films", "/api/train", "/api/health", "/metrics"} <= set(paths)


def static_files() -> list[Path]:
    from boneseg.server.app import STATIC

    return sorted(STATIC.iterdir())


def test_metrics_are_counted(client: TestClient) -> None:
    post(client, "foot.png", FOOT.read_bytes())
    lines = client.get("/metrics").text.splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(samples['boneseg_requests_total{route="/api/segment",status="200"}']) >= 1
    assert float(samples["boneseg_segment_seconds_count"]) >= 1
    assert float(samples['boneseg_resident_bytes{process="worker 1"}']) > 5e7


# -- the worker -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.png"
    Image.fromarray(np.zeros((5000, 4000), np.uint8)).save(path)
    return path


def test_a_worker_that_dies_is_replaced_and_the_film_named(large: Path) -> None:
    jobs = JobQueue(bundled(), workers=1)
    try:
        doomed = jobs.submit(SegmentUpload(large, "large.png", "mask"))
        time.sleep(0.1)
        os.kill(jobs.pids[0], signal.SIGKILL)
        with pytest.raises(WorkerDiedError, match=r"^large.png: ended the process .*SIGKILL"):
            doomed.result(60)
        facts, _ = jobs.submit(SegmentUpload(FOOT, "foot.png", "mask")).result(60)
        assert facts.area_px > 0
        assert jobs.deaths == 1
    finally:
        jobs.close()


def test_a_worker_that_hangs_is_replaced(large: Path) -> None:
    jobs = JobQueue(bundled(), timeout=0.05, workers=1)
    try:
        with pytest.raises(WorkerDiedError, match=r"^large.png: took more than 0.05 s"):
            jobs.submit(SegmentUpload(large, "large.png", "mask")).result(60)
    finally:
        jobs.close()


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_a_desk_closed_early_closes_each_pipe_once(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = JobQueue(bundled(), workers=2)  # the second worker is being started
    threads = dict(zip(jobs.workers, jobs._threads, strict=True))
    time.sleep(seconds)
    strangers: list[threading.Thread] = []
    kill = Worker.kill

    def spied(worker: Worker) -> None:
        if threads[worker].is_alive() and threads[worker] is not threading.current_thread():
            strangers.append(threading.current_thread())
        kill(worker)

    monkeypatch.setattr(Worker, "kill", spied)
    jobs.close()
    assert not strangers  # two threads that close one pipe may close a file that came after it
    assert not any(thread.is_alive() for thread in jobs._threads)
    assert not jobs.pids


def test_a_film_that_takes_long_holds_up_one_worker(large: Path) -> None:
    jobs = JobQueue(bundled(), workers=2)
    try:
        slow = jobs.submit(SegmentUpload(large, "large.png", "mask"))
        for _ in jobs.workers[1:]:
            jobs.submit(SegmentUpload(FOOT, "foot.png", "mask")).result(60)
            assert not slow.done() or len(jobs.workers) == 1
        slow.result(60)
    finally:
        jobs.close()


@given(st.integers(1, 9))
def test_cores_are_dealt_to_workers_evenly(workers: int) -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system does not tell which cores there are")
    dealt = shares(workers)
    assert 1 <= len(dealt) <= workers and all(dealt)
    assert len({len(share) for share in dealt}) == 1
    cores = [core for share in dealt for core in share]
    assert len(cores) == len(set(cores)) and set(cores) <= os.sched_getaffinity(0)
    assert len(os.sched_getaffinity(0)) - len(cores) < len(dealt)


def test_a_full_queue_says_when_to_come_again(box: LightBox, large: Path, tmp_path: Path) -> None:
    small = LightBox(Library(fill(tmp_path / "films")), bundled(), most_waiting=1, workers=1)
    client = TestClient(create_app(small), base_url=HERE)  # no segment_all: it is not entered
    try:
        first = small.jobs.submit(SegmentUpload(large, "large.png", "mask"))
        while not first.running():
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


# -- the folder -----------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_every_mask_that_was_saved_is_in_the_history(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    library = Library(fill(tmp_path_factory.mktemp("history") / "films", "hand"))
    film, seen = library.entries()[0], NO_MASK
    saved = {}
    for _ in range(data.draw(st.integers(1, 5))):
        bits = data.draw(st.binary(min_size=2, max_size=2))
        mask = unpacked_mask(bits, (4, 4), "")
        state = data.draw(st.sampled_from(["corrected", "accepted"]))
        film, seen = library.save(film.id, mask, state, seen)
        saved[seen] = (mask, state)
        assert library.state(film) == state
        with pytest.raises(ConflictError):
            library.save(film.id, mask, state, "another")
    reopened = Library(library.root)
    kept = {v.revision: v.path for v in reopened.history.of("hand")}
    assert kept.keys() == saved.keys()
    for revision, (mask, _) in saved.items():
        assert np.array_equal(np.asarray(Image.open(kept[revision])), mask)
    assert reopened.state(reopened.entries()[0]) == saved[seen][1]


def test_a_mask_drawn_elsewhere_is_kept_before_it_is_replaced(tmp_path: Path) -> None:
    folder = fill(tmp_path / "films", "hand")
    (folder / "masks").mkdir()
    theirs = np.eye(300, dtype=np.uint8) * 255
    Image.fromarray(theirs).save(folder / "masks" / "hand_mask.tif")
    library = Library(folder)
    film = library.entries()[0]
    assert library.state(film) == "accepted"
    film, _ = library.save(film.id, theirs == 0, "corrected", library.revision(film))
    assert [path.name for path in library.masks.iterdir()] == ["hand.png"]
    oldest = library.history.of(film.name)[-1]
    assert np.array_equal(np.asarray(Image.open(oldest.path)), theirs)


@pytest.mark.parametrize(
    ("film", "mask", "dropped"),
    [
        ("hand", "knee", "knee"),  # the mask waits for its film
        ("hand", "knee_mask", "knee"),
        ("hand", "Knee", "knee_image"),
        ("knee_image", "knee", "knee"),  # the mask is another film's
        ("knee", "knee_mask", "knee_mask"),
        ("knee", "knee_mask", "KNEE_MASK"),
        ("knee_mask_image", "knee_mask", "knee"),
    ],
)
def test_a_dropped_film_takes_nobodys_mask(
    tmp_path: Path, film: str, mask: str, dropped: str
) -> None:
    library = Library(tmp_path / "films")
    shutil.copy(FOOT, library.images / f"{film}.png")
    theirs = library.masks / f"{mask}.png"
    Image.fromarray(np.eye(64, dtype=np.uint8) * 255).save(theirs)
    content, before = theirs.read_bytes(), library.entries()
    saved = drop_and_save(library, f"{dropped}.png")
    assert saved.name == f"{dropped}-2"
    assert theirs.read_bytes() == content
    assert set(library.entries()) == {saved, *before}


@pytest.mark.parametrize("kept", ["NFC", "NFD"])
@pytest.mark.parametrize("sent", ["NFC", "NFD"])
@pytest.mark.parametrize("folder", ["images", "masks"])
def test_a_dropped_film_is_told_from_others_however_accents_are_kept(
    tmp_path: Path, folder: str, kept: Literal["NFC", "NFD"], sent: Literal["NFC", "NFD"]
) -> None:
    library = Library(tmp_path / "films")
    name = "schädel.png"
    theirs = tmp_path / "films" / folder / unicodedata.normalize(kept, name)
    Image.fromarray(np.eye(64, dtype=np.uint8) * 255).save(theirs)
    saved = drop_and_save(library, unicodedata.normalize(sent, name))
    assert saved.name == unicodedata.normalize("NFC", "schädel-2")
    assert saved in library.entries()


@pytest.mark.parametrize("name", ["हड्डी", "กระดูก", "q̃1"])
def test_a_dropped_film_keeps_its_name_in_any_script(tmp_path: Path, name: str) -> None:
    assert drop_and_save(Library(tmp_path / "films"), f"{name}.png").name == name


def test_a_mask_put_in_the_way_of_a_dropped_film_is_kept(tmp_path: Path) -> None:
    library = Library(tmp_path / "films")
    theirs = library.masks / "knee.png"

    def meanwhile() -> None:
        Image.fromarray(np.eye(64, dtype=np.uint8) * 255).save(theirs)

    saved = drop_and_save(library, "knee.png", meanwhile)
    assert saved.mask == theirs
    oldest = library.history.of(saved.name)[-1]
    assert np.array_equal(np.asarray(Image.open(oldest.path)), np.eye(64) * 255)


def drop_and_save(
    library: Library, name: str, meanwhile: Callable[[], None] = lambda: None
) -> Entry:
    upload = library.hidden / "upload.png"
    shutil.copy(FOOT, upload)
    dropped = library.add(name, upload)
    meanwhile()
    return library.save(dropped.id, np.zeros((64, 64), bool), "accepted", NO_MASK)[0]


@given(st.text(max_size=300))
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_names_from_outside_never_become_paths(
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


def small_disk(folder: Path, size: str = "600k") -> Iterator[Path]:
    folder.mkdir()
    call = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(call, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    yield from small_disk(tmp_path / "disk")


def test_a_full_disk_is_told_and_what_stood_there_stays(disk: Path) -> None:
    library = Library(fill(disk / "films", "hand"))
    film = library.entries()[0]
    mask = np.random.default_rng(0).random((300, 300)) < 0.5
    film, first = library.save(film.id, mask, "accepted", NO_MASK)
    before = film.mask.read_bytes()
    (disk / "ballast").write_bytes(b"\0" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize))
    with pytest.raises(OutputError, match="No space left"):
        library.save(film.id, ~mask, "corrected", first)
    film = library.entries()[0]
    assert film.mask.read_bytes() == before
    assert library.state(film) == "accepted"
    (disk / "ballast").unlink()
    film, second = library.save(film.id, ~mask, "corrected", first)
    assert {v.revision for v in library.history.of(film.name)} == {first, second}


def test_a_read_only_folder_is_one_line(disk: Path) -> None:
    fill(disk / "films", "hand")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    done = refused("--data", disk / "films")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Read-only file system" in done.stderr and "give --data" in done.stderr


def test_a_taken_port_and_a_second_server_are_one_line(tmp_path: Path) -> None:
    folder = fill(tmp_path / "films", "hand")
    with served("--data", folder) as address:
        port = address.rstrip("/").rpartition(":")[2]
        done = refused("--port", port)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "in use; choose another --port" in done.stderr
        done = refused("--port", 0, "--data", folder)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "is open in another light box (" + address.rstrip("/") in done.stderr


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("--data", FOOT), 2, "is not a folder"),
        (("--data", sample_films()), 2, "holds films but no folder images/"),
        (("--model", sample_films()), 1, "is not a bundle"),
        (("--host", "256.1.1.1"), 2, "is not an address"),
        (("--port", "70000"), 2, "--port"),
    ],
)
def test_a_wrong_word_is_one_line(words: tuple, status: int, told: str) -> None:
    if "--port" not in words:
        words = ("--port", 0, *words)
    done = refused(*words)
    assert done.returncode == status
    assert told in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn", "python_multipart"])
def test_what_is_not_installed_is_named_with_its_extra(missing: str) -> None:
    code = f"import sys; sys.modules['{missing}'] = None; from boneseg.cli import main; main()"
    call = [sys.executable, "-c", code, "serve"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"error: {missing} is not installed; pip install 'boneseg[serve]'\n"


def test_without_a_folder_nothing_is_saved(tmp_path: Path) -> None:
    box = LightBox(Library(fill(tmp_path / "films", "hand")), bundled(), keeps=False)
    try:
        client = TestClient(create_app(box), base_url=HERE)
        film = film_of(client, "hand")
        headers = {"content-type": "application/octet-stream", "if-match": '"none"'}
        answer = client.put(f"/api/films/{film['id']}/mask", content=b"", headers=headers)
        assert answer.status_code == 409
        assert "start with boneseg serve --data DIR" in answer.json()["error"]
        assert client.post("/api/train", json={"minutes": 1}).status_code == 409
    finally:
        box.close()


def test_masks_of_another_tool_are_not_joined_by_a_second_one(tmp_path: Path) -> None:
    folder = fill(tmp_path / "films", "hand")
    (folder / "masks").mkdir()
    drawn = {"version": "5.5.0", "shapes": [], "imagePath": "hand.png", "imageData": None}
    drawn |= {"imageHeight": 300, "imageWidth": 241, "flags": {}}
    (folder / "masks" / "hand.json").write_text(json.dumps(drawn))
    with pytest.raises(UsageError, match=r"hand\.json: annotation files are not supported here"):
        Library(folder)
    (folder / "masks" / "hand.json").rename(folder / "masks" / "README.txt")
    assert len(Library(folder).entries()) == 1


def test_another_address_asks_for_a_token() -> None:
    with served("--host", "0.0.0.0") as address, httpx.Client(follow_redirects=True) as browser:
        assert "/?token=" in address
        assert browser.get(address.replace("0.0.0.0", "127.0.0.1")).status_code == 200


def test_a_token_that_was_given_opens_the_page_and_is_not_printed() -> None:
    token = 'a+b;c&d=%41 #"'
    with served("--token", token) as address, httpx.Client(follow_redirects=True) as browser:
        assert address.endswith("/") and "token" not in address
        assert browser.get(address, params={"token": token}).status_code == 200
        health = address + "api/health"
        assert browser.get(health).status_code == 200  # by the cookie
        bearer = {"Authorization": f"Bearer {token}"}
        assert httpx.get(health, headers=bearer).status_code == 200
        assert httpx.get(health).status_code == 401


def test_a_worker_whose_server_is_gone_ends_in_silence() -> None:
    call = [sys.executable, "-c", "from boneseg.server.workers.process import serve; serve()"]
    done = subprocess.run(call, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_server_ends_with_its_worker_and_leaves_nothing(
    tmp_path: Path, how: signal.Signals
) -> None:
    call, env = [*COMMAND, "serve", "--port", "0"], os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True, env=env) as server:
        assert server.stderr is not None
        address_of(server)
        assert list(tmp_path.glob("boneseg-*"))
        server.send_signal(how)
        _, said = server.communicate(timeout=30)  # the worker holds stderr open, too
    assert "Traceback" not in said
    assert not list(tmp_path.glob("boneseg-*"))


def test_the_server_ends_while_it_looks_at_films_without_a_traceback(tmp_path: Path) -> None:
    folder = tmp_path / "films" / "images"
    folder.mkdir(parents=True)
    for number in range(8):
        Image.fromarray(np.zeros((2000, 2000), np.uint8)).save(folder / f"film{number}.png")
    call = [*COMMAND, "serve", "--port", "0", "--data", str(folder.parent)]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        address_of(server)
        while not list(folder.parent.glob(".boneseg/cache/*/facts.json")):
            time.sleep(0.05)
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=30)
    assert server.returncode == 0
    assert re.fullmatch(r"\S+ INFO stopped\n", said)


# -- what goes over the line, and what comes next -------------------------------------------------


def test_a_retraining_may_train_in_the_folder_laid_out_for_it(tmp_path: Path) -> None:
    library = Library(fill(tmp_path / "films", "hand"))
    runs, run = Runs(tmp_path), Run(number=1, films=1, minutes=1)
    runs.prepare(run, library.root, library.entries(), Request(model="bundled"))
    own_folder(runs.folder(run), "checkpoint.safetensors", resume=False)


def test_a_finished_run_is_offered_after_a_restart(tmp_path: Path) -> None:
    library = Library(fill(tmp_path / "films", "hand"))
    runs = Runs(library.hidden / "runs")
    for number, state in ((1, "done"), (2, "done"), (3, "stopped")):
        run = Run(number=number, films=12, minutes=1, state=state)
        runs.folder(run).mkdir(parents=True)
        runs.save(run)
        if number == 1:
            shutil.copytree(bundled(), runs.bundle(run))
    assert Retraining(library).finished(1).films == 12  # the second has lost its model
    (runs.root / "0001" / "outcome.json").write_text("{")
    assert Retraining(library).run is None


def test_a_run_is_told_whose_server_ended_in_its_midst(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(fill(tmp_path / "films", "hand"))
    monkeypatch.setattr(library, "accepted", lambda: library.entries() * 4)
    before = Retraining(library)
    folder = before.runs.folder(before.start(bundled(), 1))
    killed = (folder / "outcome.json").read_bytes()
    before.close()
    for content in (None, killed):
        if content is not None:
            (folder / "outcome.json").write_bytes(content)
        run = Retraining(library).run
        assert run is not None and (run.state, run.films) == ("interrupted", 4)
    folder.with_name("0002").mkdir()
    assert Retraining(library).run is None  # it is not the last any more


def test_a_run_of_a_killed_server_leaves_no_films_and_no_weights(tmp_path: Path) -> None:
    library = Library(tmp_path / "films")
    runs, run = Runs(library.hidden / "runs"), Run(number=1, films=0, minutes=1)
    runs.prepare(run, library.root, [], Request(model="bundled"))
    folder = runs.folder(run)
    (folder / "checkpoint.safetensors").write_bytes(b"weights")
    Retraining(library)
    assert [path.name for path in folder.iterdir()] == ["wish.json"]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
@settings(max_examples=50)
def test_masks_are_packed_and_unpacked(height: int, width: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    bits = gzip.decompress(packed_mask(mask))
    assert np.array_equal(unpacked_mask(bits, (height, width), ""), mask)


@given(st.integers(1, 255), st.floats(0, 1, width=32))
@settings(max_examples=200)
def test_a_threshold_of_the_page_is_exact(level: int, p: float) -> None:
    packed = gzip.decompress(packed_probability(np.full((1, 1), p, np.float32)))
    assert (packed[0] >= level) == (np.float32(p) >= level / 256)


def test_the_next_film_is_in_doubt_and_unlike_those_before() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(3, 100)).astype(np.float32)
    kinds /= np.linalg.norm(kinds, axis=1, keepdims=True)
    films = [
        Candidate("sure", 0.99, kinds[2]),
        *(Candidate(f"doubt-{i}", 0.5 + i / 100, kinds[0]) for i in range(3)),
        Candidate("other", 0.6, kinds[1]),
    ]
    order = correction_order(films, [])
    assert order[:2] == ["doubt-0", "other"]  # not three of a kind in a row
    assert order[2] == "sure"
    order = correction_order(films, [kinds[0], kinds[2]])
    assert order[0] == "other"  # what is like the labelled films teaches less


NAMES = [f"film-{number}" for number in range(20)]


def cases_of(names: list[str], groups: list[int | None]) -> list[Case]:
    known = [None if group is None else f"patient {group}" for group in groups]
    return [
        Case(name, Path(name), Path(name), group) for name, group in zip(names, known, strict=True)
    ]


@given(st.data())
@settings(max_examples=200)
def test_what_is_held_back_stays_held_back(data: st.DataObject) -> None:
    """Whichever films, twins and groups come and go from one retraining to the next."""
    sides: dict[str, bool] = {}
    for _ in range(data.draw(st.integers(2, 4))):
        names = data.draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
        size = {"min_size": len(names), "max_size": len(names)}
        groups = data.draw(st.lists(st.none() | st.integers(0, 9), **size))
        clusters = data.draw(st.lists(st.integers(0, 30), **size))
        cases = cases_of(names, groups)
        kept, held = split(cases, clusters, sides)
        now = {case.name: False for case in kept} | {case.name: True for case in held}
        assert len(now) == len(kept) + len(held)
        for name in now.keys() & sides.keys():
            assert now[name] == sides[name]
        for unit in units(cases, clusters):
            together = {now.get(cases[index].name) for index in unit}
            assert len(together) == 1  # all on one side, or in neither
            before = {sides.get(cases[index].name) for index in unit} - {None}
            assert (together == {None}) == (len(before) == 2)
        sides |= now


@pytest.mark.parametrize(("films", "each"), [(1, 1), (4, 1), (20, 1), (20, 2), (20, 5)])
def test_a_fifth_is_held_back_and_of_what_comes_later_too(films: int, each: int) -> None:
    cases = cases_of(NAMES[:films], [number // each for number in range(films)])
    clusters, sides = list(range(films)), {}
    for count in range(each, films + 1, each):
        kept, held = split(cases[:count], clusters[:count], sides)
        assert len(held) == each * max(1, round(0.2 * count / each))
        sides = {case.name: False for case in kept} | {case.name: True for case in held}


def test_groups_that_are_told_later_deal_nothing_anew(tmp_path: Path) -> None:
    record, clusters = tmp_path / "held-back.json", list(range(20))
    kept, held = hold_out(cases_of(NAMES, [None] * 20), clusters, record)
    later, still = hold_out(cases_of(NAMES, list(range(20))), clusters, record)
    assert [case.name for case in later] == [case.name for case in kept]
    assert [case.name for case in still] == [case.name for case in held]


def test_a_twin_goes_where_its_film_went(tmp_path: Path) -> None:
    record, clusters = tmp_path / "held-back.json", list(range(20))
    kept, held = hold_out(cases_of(NAMES, [None] * 20), clusters, record)
    twins = [f"twin of {name}" for name in NAMES]
    both = hold_out(cases_of(NAMES + twins, [None] * 40), clusters * 2, record)
    for before, after in zip((kept, held), both, strict=True):
        names = {case.name for case in before}
        assert {case.name for case in after} == names | {f"twin of {name}" for name in names}


def test_too_few_films_are_told_and_bind_nobody(tmp_path: Path) -> None:
    record = tmp_path / "held-back.json"
    with pytest.raises(DatasetError, match="too few of the 4 accepted films: 0 to train on"):
        hold_out(cases_of(NAMES[:4], [1] * 4), list(range(4)), record)
    assert not record.exists()
