"""Hooks of schemathesis, in its process: which films are asked for, mutated requests, and counts.

`api.py` starts that process in a folder with `films.json`, the films of the server, and `mask.png`,
a mask of the first; it reads `counts.json` there at the end. After each request of schemathesis,
except those of NETWORK, MUTANTS mutations of it are sent as raw bytes: schemathesis makes neither
damaged pictures nor requests that are not HTTP.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import re
import socket
import zlib
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import schemathesis
from mutations import mutate

MUTANTS = 3  # of each request
PATIENCE = 60.0  # seconds for an answer
EXCUSED = (503, 507)  # busy, or full: not a fault of the server
FAULTS = 10  # that are kept
ADDRESS = "/?&=%:@!$'()*+,;~[]"  # what need not be escaped in an address
NETWORK = "/bones"  # in an address: an answer takes as long as fifty others

films: list[str] = json.loads(Path("films.json").read_text())
mask = Path("mask.png").read_bytes()
counts: dict[str, Any] = {"read": 0, "refused": 0, "faults": []}
chance = random.Random(int(os.environ.get("SEED", "0")))


@atexit.register
def save() -> None:
    Path("counts.json").write_text(json.dumps(counts))


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    """Two thirds of the requests for a film are for one that there is, and that stays."""
    if path_parameters and "film" in path_parameters and context.operation.method != "delete":
        number = zlib.crc32(repr(path_parameters["film"]).encode())
        if number % 3:
            path_parameters["film"] = films[number % len(films)]
    return path_parameters


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    counted(response.status_code)
    sent = response.request
    for _ in range(0 if sent is None or NETWORK in sent.url else MUTANTS):
        send_mutant(sent.method, sent.url, dict(sent.headers), sent.body or b"")
    if response.status_code in EXCUSED:
        response.status_code = 429


def counted(status: int) -> None:
    counts["read" if status < 400 else "refused"] += 1


# -- mutations ------------------------------------------------------------------------------------


class Line:
    """A connection to the server, made anew when it ends."""

    def __init__(self) -> None:
        self.socket: socket.socket | None = None

    def ask(self, host: str, port: int, request: bytes, method: str) -> int | None:
        """The status of the answer to a request; None where the connection ends without one.

        Raises TimeoutError.
        """
        if self.socket is not None and (status := self._ask(request, method)) is not None:
            return status  # else it was idle for too long
        self.socket = socket.create_connection((host, port), PATIENCE)
        return self._ask(request, method)

    def _ask(self, request: bytes, method: str) -> int | None:
        assert self.socket is not None
        try:
            with suppress(ConnectionError):  # a refusal can come before all is sent
                self.socket.sendall(request)
            answer = HTTPResponse(self.socket, method=method)
            answer.begin()
            answer.read()
        except TimeoutError:
            self.end()
            raise
        except (OSError, HTTPException):
            self.end()
            return None
        if answer.will_close:
            self.end()
        return answer.status

    def end(self) -> None:
        if self.socket is not None:
            with suppress(OSError):
                self.socket.close()
        self.socket = None


line = Line()


def send_mutant(method: str, address: str, headers: dict[str, str], body: bytes | str) -> None:
    """Send a mutation of a request: of its body, if it has one, of its path, or of its headers."""
    place = urlsplit(address)
    content = body.encode() if isinstance(body, str) else bytes(body)
    seeds = seeds_of(place.path, headers.get("Content-Type", ""), content)
    target = f"{place.path}?{place.query}" if place.query else place.path
    fields = [f"{name}: {value}" for name, value in headers.items() if name != "Content-Length"]
    start, rest = f"{method} {target} HTTP/1.1".encode(), "\r\n".join(fields).encode("latin-1")
    part = chance.random()
    if seeds and part < 0.7:
        content = mutate(chance, seeds)
    elif part < 0.85:
        target = quote(mutate(chance, [target.encode()]), safe=ADDRESS)
        start = f"{method} {target} HTTP/1.1".encode()
    elif part < 0.9:
        start = mutate(chance, [start])
    else:
        rest = mutate(chance, [rest])
    host = f"Host: {place.netloc}\r\nContent-Length: {len(content)}\r\n".encode()
    request = start + b"\r\n" + host + rest + b"\r\n\r\n" + content
    damaged = part >= 0.85
    try:
        status = line.ask(place.hostname or "", place.port or 0, request, method)
    except TimeoutError:
        status = None
    if status is None and not damaged:
        fault("no answer", request)
    elif status is not None and status >= 500 and status not in EXCUSED:
        fault(f"status {status}", request)
    counted(status or 400)
    if damaged:  # what is left of it is not another request
        line.end()


def seeds_of(path: str, kind: str, content: bytes) -> list[bytes]:
    """Bodies to mutate: the request's own, and one with a picture where one is expected."""
    seeds = [content] if content else []
    if kind.startswith("image/png"):
        seeds.append(mask)
    boundary = re.search(r"boundary=([\w'()+,./:=?-]+)", kind)
    if boundary and path.endswith("/segment"):  # it keeps no film
        head = 'Content-Disposition: form-data; name="file"; filename="film.png"'
        edge = f"--{boundary[1]}"
        seeds.append(f"{edge}\r\n{head}\r\n\r\n".encode() + mask + f"\r\n{edge}--\r\n".encode())
    return seeds


def fault(reason: str, request: bytes) -> None:
    if len(counts["faults"]) < FAULTS:
        counts["faults"].append(f"{reason}: {request[:2000]!r}")
