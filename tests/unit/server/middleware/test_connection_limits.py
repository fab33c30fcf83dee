"""Connections: how many may be open, how long one may wait, and what ends one."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress

import httpx
import pytest

from tests.support.lightbox import BEARER, body, opened, status_of


def test_slow_headers_time_out_before_authentication(impatient: int) -> None:
    started = time.monotonic()
    lines = [
        opened(impatient, start) for start in (b"", b"GET / HTT", b"GET / HTTP/1.1\r\nHost: a")
    ]
    assert [status_of(line) for line in lines] == [408, 408, 408]
    assert time.monotonic() - started < 10


def test_headers_sent_byte_by_byte_time_out(impatient: int) -> None:
    line, started = opened(impatient, b"GET / HTTP/1.1\r\n"), time.monotonic()
    with pytest.raises(OSError):
        while time.monotonic() - started < 20:
            line.sendall(b"A: b\r\n")
            time.sleep(0.1)
    assert time.monotonic() - started < 10


def test_idle_connections_are_closed_for_new_ones(impatient: int) -> None:
    waiting = [opened(impatient, b"GET / HTTP/1.1\r\n") for _ in range(20)]
    bearer = {"Authorization": "Bearer s3cret"}
    assert httpx.get(f"http://127.0.0.1:{impatient}/api/health", headers=bearer).status_code == 200
    for line in waiting:
        line.close()


def test_a_connection_reset_is_not_a_server_error(impatient: int) -> None:
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


def test_invalid_http_is_not_a_server_error(
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
