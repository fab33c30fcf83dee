"""The size of a request's body is bounded, and so is the time that it takes."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from typing import Any

import httpx
import pytest

from boneseg.server.errors import BusyError, SlowError
from boneseg.server.middleware.body_limits import BodyLimits
from tests.support.lightbox import BEARER, body, opened, served, status_of


def test_an_upload_with_too_large_a_content_length_is_not_read() -> None:
    with served() as address:
        port = int(address.rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 20) as line:
            line.sendall(
                b"POST /api/segment HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2147483648\r\n"
                b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
            )
            assert b" 413 " in line.recv(1000).splitlines()[0]


def test_stalled_bodies_time_out_and_block_no_other_client(impatient: int) -> None:
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
def test_bodies_over_the_total_limit_cost_the_largest(last: int) -> None:
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
