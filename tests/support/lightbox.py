"""A light box for tests: its folder filled with films, and served by the real command."""

from __future__ import annotations

import io
import os
import socket
import stat
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from boneseg.bundle.shipped import sample_films

HERE = "http://127.0.0.1"
FOOT = sample_films() / "foot.png"
COMMAND = [sys.executable, "-c", "from boneseg.cli import main; main()"]


def fill(folder: Path, *names: str) -> Path:
    """A dataset of the sample films of these names, as yet without masks."""
    (folder / "images").mkdir(parents=True)
    for name in names:
        film = Image.open(sample_films() / f"{name}.png")
        film.thumbnail((300, 300))
        film.save(folder / "images" / f"{name}.png")
    return folder


@contextmanager
def served(*words: object) -> Iterator[str]:
    """The address of `boneseg serve` with these words; it is ended afterwards."""
    call = [*COMMAND, "serve", "--port", "0", *map(str, words)]
    env = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True, env=env) as server:
        try:
            yield address_of(server)
        finally:
            server.terminate()
            server.communicate(timeout=30)


def address_of(server: subprocess.Popen[str]) -> str:
    """What a server that was just started logs as its address, on its first line."""
    assert server.stderr is not None
    line = server.stderr.readline()
    _, found, address = line.partition(" INFO the light box: ")
    assert found, line
    return address.strip()


def refused(*words: object) -> subprocess.CompletedProcess[str]:
    """What `boneseg serve` says where it does not start."""
    port = () if "--port" in words else ("--port", 0)  # the usual one may be another test's
    call = [*COMMAND, "serve", *map(str, (*words, *port))]
    return subprocess.run(call, capture_output=True, text=True, timeout=90, check=False)


def png(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


def turn(path: Path) -> None:
    """Turn the picture in a file by a quarter of a circle."""
    image = Image.open(path)
    image.load()
    image.transpose(Image.Transpose.ROTATE_90).save(path)


def film_of(client: TestClient, name: str) -> dict:
    rows = client.get("/api/films").json()["films"]
    return client.get(f"/api/films/{next(r['id'] for r in rows if r['name'] == name)}").json()


def post(client: TestClient, name: str, content: bytes, path: str = "/api/segment", **headers: str):
    return client.post(path, files={"file": (name, content)}, headers=headers)


def png_that_claims(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG whose pixels are not those that its header claims."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def small_disk(folder: Path, size: str = "600k") -> Iterator[Path]:
    folder.mkdir()
    call = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(call, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


PNG = {"content-type": "image/png", "if-match": '"none"'}


# -- masks -----------------------------------------------------------------------------------------


def encoded(mask: np.ndarray, kind: str = "PNG", **how: Any) -> bytes:
    written = io.BytesIO()
    Image.fromarray(mask).save(written, kind, **how)
    return written.getvalue()


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


def body(kind: str, length: int = 5000) -> bytes:
    head = f"PUT {kind} HTTP/1.1\r\nHost: 127.0.0.1\r\n{BEARER}Content-Type: image/png\r\n"
    return f'{head}If-Match: "none"\r\nContent-Length: {length}\r\n\r\nabc'.encode()


PAGES = ("/", "/api", "/openapi.json", "/static/main.js")  # that OpenAPI does not list


def routes(client: TestClient, film: dict[str, Any]) -> Iterator[tuple[str, set[str], Any]]:
    """(path, methods, operations) of every route, with values for its parameters."""
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        filled = path.replace("{film}", film["id"]).replace("{revision}", "0" * 16)
        methods = {method.upper() for method in operations}
        yield filled.replace("{number}", "1"), methods, operations
    for path in PAGES:
        yield path, {"GET"}, {}


BITS = {"content-type": "application/octet-stream", "if-match": '"none"'}


def drop(client: TestClient, name: str = "foot.png") -> dict:
    answer = client.post("/api/films", files={"file": (name, FOOT.read_bytes())})
    assert answer.status_code == 201, answer.text
    return answer.json()


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def empty(row: dict) -> bytes:
    return bytes((row["height"] * row["width"] + 7) // 8)
