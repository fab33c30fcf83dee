"""The light box and requests made to break it: what they cost, and that they lock nobody out."""

from __future__ import annotations

import asyncio
import io
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.serving import hostile_load
from boneseg.bundle.shipped import bundled
from boneseg.server.app import create_app
from boneseg.server.errors import BusyError, SlowError
from boneseg.server.light_box import LightBox
from boneseg.server.middleware.body_limits import BodyLimits
from boneseg.server.middleware.connection_limits import Connection
from boneseg.server.storage.library import Library
from boneseg.server.workers.job_queue import JobQueue
from boneseg.server.workers.tasks import ReadMask, SegmentUpload
from tests.support.lightbox import fill, served

HERE = "http://127.0.0.1"
PNG = {"content-type": "image/png", "if-match": '"none"'}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LightBox]:
    opened = LightBox(Library(fill(tmp_path_factory.mktemp("box") / "films", "hand")), bundled())
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(box: LightBox) -> TestClient:
    return TestClient(create_app(box), base_url=HERE, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def film(client: TestClient) -> dict[str, Any]:
    found = client.get("/api/films").json()["films"][0]["id"]
    return client.get(f"/api/films/{found}").json()


def test_seconds_of_hostile_load_cost_nothing() -> None:
    """The six minutes are in docs/light-box.md."""
    tally = hostile_load.attack(5, clients=6, settle=2, every=60)
    assert not tally.failed
    assert hostile_load.grown(tally) <= hostile_load.GROWTH
    assert sum(tally.statuses.values()) > 20 and tally.honest


# -- masks -----------------------------------------------------------------------------------------


def encoded(mask: np.ndarray, kind: str = "PNG", **how: Any) -> bytes:
    written = io.BytesIO()
    Image.fromarray(mask).save(written, kind, **how)
    return written.getvalue()


@pytest.mark.parametrize("place", ["mask", "draft"])
def test_a_mask_is_png_by_its_first_bytes_and_nothing_else(
    client: TestClient, box: LightBox, film: dict[str, Any], place: str
) -> None:
    shape = (film["height"], film["width"])
    mask = np.zeros(shape, np.uint8)
    mark = b"\x89PNG\r\n\x1a\n"
    dicom = bytes(128) + b"DICM" + bytes(500)
    others = {kind: encoded(mask, kind) for kind in ("JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM")}
    others |= {"DICOM": dicom, "both": mark + dicom[len(mark) :], "nothing": b"", "mark": mark}
    others |= {"JSON": b'{"shapes": []}', "gzip": b"\x1f\x8b" + bytes(20), "late": b"\n" + mark}
    deaths = box.jobs.deaths
    for name, content in others.items():
        answer = client.put(f"/api/films/{film['id']}/{place}", content=content, headers=PNG)
        assert answer.status_code == 422, (name, answer.text)
        assert answer.json()["error"].startswith("hand: "), name
        assert str(box.library.root) not in answer.text
    assert box.jobs.deaths == deaths
    assert not list(box.spool.iterdir())


def test_every_png_of_a_mask_is_read(
    client: TestClient, box: LightBox, film: dict[str, Any]
) -> None:
    drawn = np.zeros((film["height"], film["width"]), bool)
    drawn[20:60, 30:90] = True
    grey = drawn * np.uint8(255)
    rgba = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    forms = {
        "1": encoded(drawn),
        "L": encoded(grey),
        "I;16": encoded(drawn * np.uint16(65535)),
        "RGB": encoded(np.dstack([grey] * 3)),
        "RGBA": encoded(rgba),
        "P": palette(drawn),
        "with much text": encoded(grey, pnginfo=much_text()),
    }
    for name, content in forms.items():
        path = f"/api/films/{film['id']}/draft"
        answer = client.put(path, content=content, headers=PNG)
        assert answer.status_code == 204, (name, answer.text)
        kept = client.get(path).content
        assert np.array_equal(
            np.unpackbits(np.frombuffer(kept, np.uint8))[: drawn.size], drawn.ravel()
        )


def palette(drawn: np.ndarray) -> bytes:
    image = Image.fromarray(drawn.astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 255, 255, 255])
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()


def much_text() -> Any:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Comment", "x" * 50_000)
    return info


@given(cut=st.integers(0, 3000), place=st.integers(0, 3000), value=st.integers(0, 255))
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_a_damaged_png_is_one_line(
    client: TestClient, box: LightBox, film: dict[str, Any], cut: int, place: int, value: int
) -> None:
    rng = np.random.default_rng(0)
    content = bytearray(encoded(rng.random((film["height"], film["width"])) < 0.2))
    content[place % len(content)] = value
    answer = client.put(
        f"/api/films/{film['id']}/draft", content=bytes(content[: -cut or None]), headers=PNG
    )
    assert answer.status_code in (204, 422), answer.text
    if answer.status_code == 422:
        assert answer.json()["error"].startswith("hand: ")


def test_the_body_of_a_mask_is_bounded_by_its_film(
    client: TestClient, box: LightBox, film: dict[str, Any]
) -> None:
    pixels = film["height"] * film["width"]
    sent = []

    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            sent.append(2**16)
            yield bytes(2**16)

    bits = PNG | {"content-type": "application/octet-stream"}
    for headers, most in ((PNG, 4 * pixels + 2**20), (bits, (pixels + 7) // 8)):
        path = f"/api/films/{film['id']}/draft"
        answer = client.put(path, content=endless(), headers=headers)
        assert (answer.status_code, "connection" in answer.headers) == (413, True)
        assert (
            answer.json()["error"] == f"hand: over the limit of {most} bytes for a mask of its size"
        )
    assert not list(box.spool.iterdir())


def test_a_bomb_is_refused_by_its_size_before_it_is_unpacked(
    client: TestClient, box: LightBox, film: dict[str, Any]
) -> None:
    packed = zlib.compress(bytes(50 * 2**20), 9)
    before = [memory_peak(pid) for pid in box.jobs.pids]
    for width, height in ((10_000, 9000), (2**31 - 1, 1), (film["height"] + 1, film["width"])):
        content = hostile_load.png(width, height, packed)
        answer = client.put(f"/api/films/{film['id']}/mask", content=content, headers=PNG)
        assert answer.status_code == 422, answer.text
    after = [memory_peak(pid) for pid in box.jobs.pids]
    assert max(b - a for a, b in zip(before, after, strict=True)) < 32 * 2**20


def memory_peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def test_a_save_is_not_refused_where_the_queue_is_full(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.fromarray(np.zeros((4000, 4000), np.uint8)).save(large)
    mask = tmp_path / "mask.png"
    Image.fromarray(np.eye(64, dtype=np.uint8) * 255).save(mask)
    jobs = JobQueue(bundled(), most_waiting=1, workers=1)
    try:
        first = jobs.submit(SegmentUpload(large, "large", "mask"))
        while not first.running():
            time.sleep(0.01)
        second = jobs.submit(SegmentUpload(large, "large", "mask"))
        with pytest.raises(BusyError):
            jobs.submit(SegmentUpload(large, "large", "mask"))
        saved = jobs.submit(ReadMask(mask, "mask", (64, 64), uploaded=True))
        assert saved.result(60) and not second.done()  # it goes first
    finally:
        jobs.close()


# -- pace ------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[int]:
    """The port of a server in this process that waits for no more than a second."""
    import threading

    import uvicorn

    monkeypatch.setattr(Connection, "header", 1.0)
    monkeypatch.setattr(Connection, "most", 8)
    monkeypatch.setattr(BodyLimits.__init__, "__kwdefaults__", {"most": 4, "stall": 5.0})
    box = LightBox(Library(fill(tmp_path / "films", "hand")), bundled(), workers=1)
    app = create_app(box, token="s3cret")
    config = uvicorn.Config(app, http=Connection, ws="none", log_config=None, log_level="error")
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(30)


def opened(port: int, start: bytes) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), 20)
    line.sendall(start)
    return line


def status_of(line: socket.socket) -> int | None:
    """The status of the answer on a connection; None where it was closed without one."""
    try:
        words = line.recv(1000).split(b" ", 2)
    except ConnectionError:
        return None
    finally:
        line.close()
    return int(words[1]) if len(words) > 1 else None


BEARER = "Authorization: Bearer s3cret\r\n"


def test_slow_headers_end_before_a_token_is_asked_for(impatient: int) -> None:
    started = time.monotonic()
    lines = [
        opened(impatient, start) for start in (b"", b"GET / HTT", b"GET / HTTP/1.1\r\nHost: a")
    ]
    assert [status_of(line) for line in lines] == [408, 408, 408]
    assert time.monotonic() - started < 10


def test_headers_that_trickle_end_all_the_same(impatient: int) -> None:
    line, started = opened(impatient, b"GET / HTTP/1.1\r\n"), time.monotonic()
    with pytest.raises(OSError):
        while time.monotonic() - started < 20:
            line.sendall(b"A: b\r\n")
            time.sleep(0.1)
    assert time.monotonic() - started < 10


def test_connections_that_wait_make_room(impatient: int) -> None:
    waiting = [opened(impatient, b"GET / HTTP/1.1\r\n") for _ in range(20)]
    bearer = {"Authorization": "Bearer s3cret"}
    assert httpx.get(f"http://127.0.0.1:{impatient}/api/health", headers=bearer).status_code == 200
    for line in waiting:
        line.close()


def body(kind: str, length: int = 5000) -> bytes:
    head = f"PUT {kind} HTTP/1.1\r\nHost: 127.0.0.1\r\n{BEARER}Content-Type: image/png\r\n"
    return f'{head}If-Match: "none"\r\nContent-Length: {length}\r\n\r\nabc'.encode()


def test_hanging_bodies_end_and_lock_nobody_out(impatient: int) -> None:
    address, bearer = f"http://127.0.0.1:{impatient}", {"Authorization": "Bearer s3cret"}
    with httpx.Client(base_url=address, headers=bearer, timeout=60) as client:
        film = client.get("/api/films").json()["films"][0]["id"]
        row = client.get(f"/api/films/{film}").json()
        path, started = f"/api/films/{film}/draft", time.monotonic()
        hanging = [opened(impatient, body(path)) for _ in range(4)]  # as many as may
        for _ in range(3):  # which trickle
            time.sleep(0.4)
            with suppress(OSError):
                [line.send(b"x") for line in hanging]
        more = [opened(impatient, body(path)) for _ in range(2)]
        bits = bytes((row["height"] * row["width"] + 7) // 8)
        kind = {"content-type": "application/octet-stream"}
        assert client.put(path, content=bits, headers=kind).status_code == 204
        assert {status_of(line) for line in hanging} == {408}
        assert {status_of(line) for line in more} <= {408, 503}
        assert client.put(path, content=bits, headers=kind).status_code == 204
        assert time.monotonic() - started < 20
        assert client.get("/metrics").text.count('status="500"') == 0


@pytest.mark.parametrize("last", [900, 990])
def test_bodies_that_are_too_large_together_cost_the_largest(last: int) -> None:
    """Of five on the way, the largest of which is the first, or the one that comes last."""
    outcomes: dict[int, str] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            while (await receive())["more_body"]:
                pass
            outcomes[scope["size"]] = "read"
        except (BusyError, SlowError) as error:
            outcomes[scope["size"]] = type(error).__name__

    async def run() -> None:
        bodies, end = BodyLimits(app, max_bytes=1000), asyncio.Event()

        async def request(size: int) -> None:
            messages = iter([{"body": bytes(size), "more_body": True}])

            async def receive() -> Any:
                for message in messages:
                    return message
                await end.wait()
                return {"body": b"", "more_body": False}

            await bodies({"type": "http", "size": size}, receive, None)  # type: ignore[arg-type]

        tasks = []
        for size in (950, 801, 802, 803, last):
            tasks.append(asyncio.create_task(request(size)))
            await asyncio.sleep(0.01)
        end.set()
        await asyncio.gather(*tasks)
        assert not bodies.open

    asyncio.run(run())
    largest, reason = (950, "SlowError") if last < 950 else (990, "BusyError")
    assert outcomes == dict.fromkeys((950, 801, 802, 803, last), "read") | {largest: reason}


def test_a_body_without_a_token_is_not_read(impatient: int) -> None:
    start = body("/api/films/0/mask", 10**6).replace(BEARER.encode(), b"")
    assert status_of(opened(impatient, start)) == 401


def test_a_connection_that_is_reset_is_no_fault_of_the_server(impatient: int) -> None:
    for path in ("/api/segment", "/api/films", "/api/train"):
        start = (
            body(path)
            .replace(b"PUT", b"POST")
            .replace(b"image/png", b"multipart/form-data; boundary=x")
        )
        line = opened(impatient, start)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        time.sleep(0.1)
        line.close()
    bearer = {"Authorization": "Bearer s3cret"}
    time.sleep(0.2)
    counted = httpx.get(f"http://127.0.0.1:{impatient}/metrics", headers=bearer).text
    assert 'status="500"' not in counted


def test_bytes_that_are_not_http_in_a_request_are_no_error_of_the_server(
    impatient: int, caplog: pytest.LogCaptureFixture
) -> None:
    chunked = "HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
    for path in ("POST /x", "GET /api/health", "POST /api/train", "GET /static/main.js"):
        for token in ("", BEARER):
            start = f"{path} {chunked}{token}\r\n".encode()
            for rest in (b"zz\r\n", b"1\r\nab\r\n", b"\xff" * 100, b"0\r\n\r\n\x16\x03\x01"):
                for parts in ((start + rest,), (start, rest)):
                    line = opened(impatient, parts[0])
                    for part in parts[1:]:
                        time.sleep(0.01)
                        with suppress(OSError):
                            line.sendall(part)
                    status = status_of(line)
                    assert status is None or status < 500
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_no_decoding_is_done_by_the_server_itself() -> None:
    """DICOM that kills a decoder, marked as a mask or as a film, costs no more than a worker."""
    with served() as address, httpx.Client(base_url=address, timeout=120) as client:
        film = {"file": ("a.png", encoded(np.eye(64, dtype=np.uint8) * 255))}
        row = client.post("/api/films", files=film).json()
        content = bytes(128) + b"DICM" + np.random.default_rng(0).bytes(20_000)
        path = f"/api/films/{row['id']}"
        assert client.put(f"{path}/draft", content=content, headers=PNG).status_code == 422
        answer = client.post("/api/segment", files={"file": ("a.dcm", content)})
        assert answer.status_code == 422
        assert client.get(path).status_code == 200
