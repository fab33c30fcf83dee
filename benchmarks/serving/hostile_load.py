"""The light box under hostile load: every kind of bad request at once, beside a legitimate user.

    python -m benchmarks.serving.hostile_load --minutes 6

Starts `boneseg serve` on a folder of two sample films and attacks it over loopback: headers and
bodies that trickle or hang, bodies without end, garbage and bombs as PNG, DICOM as PNG, deep JSON,
random paths and methods, bytes that are not HTTP, answers that nobody reads, and connections that
are reset in the middle. Every second an honest client lists the films and saves a mask. Nothing but
these processes and a temporary folder is touched. Prints the answers by status, the memory of the
server's processes and how the honest client fared; ends with status 1 where an answer was 500, the
honest client failed, or the server's memory grew by more than GROWTH.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from boneseg.bundle.shipped import sample_films

COMMAND = [sys.executable, "-c", "from boneseg.cli import main; main()", "serve", "--port", "0"]
CLIENTS = 12  # threads, each with a connection or a handful
HELD = 24  # connections that a thread of hanging ones holds
GROWTH = 64  # MiB
SETTLE = 15.0  # seconds after which memory is measured first
MIB = 2**20


@dataclass
class Tally:
    """What happened so far; shared by the threads."""

    statuses: Counter[str] = field(default_factory=Counter)
    attacks: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)  # 500, and errors of the legitimate client
    honest: list[float] = field(default_factory=list)  # seconds of each of its requests
    memory: list[tuple[float, int, int]] = field(default_factory=list)  # s, MiB server, workers
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(self, attack: str, answer: bytes) -> None:
        """Count the first answer on a connection, or that it was closed without one."""
        words = answer.split(b" ", 2)
        status = words[1].decode() if answer.startswith(b"HTTP/1.1 ") else "closed"
        with self.lock:
            self.statuses[status] += 1
            self.attacks[attack] += 1
            if status.startswith("5") and status != "503":
                self.failed.append(f"{attack}: {answer[:300]!r}")


class Attacker:
    """One thread's share of the attack on the server at a port of loopback."""

    def __init__(self, port: int, films: list[str], tally: Tally, seed: int) -> None:
        self.port, self.films, self.tally = port, films, tally
        self.random = random.Random(seed)
        self.stop = threading.Event()
        self.attacks: list[Callable[[], None]] = [
            self.slow_headers,
            self.hanging_bodies,
            self.endless_body,
            self.claimed_body,
            self.bad_masks,
            self.bad_masks,
            self.bad_films,
            self.bad_json,
            self.bad_json,
            self.random_paths,
            self.random_paths,
            self.not_http,
            self.aborted,
            self.unread_answers,
            self.bad_multipart,
        ]

    def run(self) -> None:
        while not self.stop.is_set():
            attack = self.random.choice(self.attacks)
            with suppress(OSError):  # refused, reset, or closed: as it should be
                attack()

    # -- connections --------------------------------------------------------------------------

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 30)

    def head(self, method: str, path: str, *lines: str) -> bytes:
        host = f"Host: 127.0.0.1:{self.port}"
        return "\r\n".join([f"{method} {path} HTTP/1.1", host, *lines, "", ""]).encode("latin-1")

    def ask(self, attack: str, request: bytes, wait: float = 30) -> None:
        """Send a request on a connection of its own, and count the answer."""
        with closing(self.connect()) as line:
            line.settimeout(wait)
            with suppress(OSError):  # the server need not read it to its end
                line.sendall(request)
            self.hear(attack, line)

    def hear(self, attack: str, line: socket.socket) -> None:
        answer = b""
        with suppress(OSError):
            answer = line.recv(4096)
        self.tally.answered(attack, answer)

    def put(self, attack: str, kind: str, content: bytes) -> None:
        film, place = self.random.choice(self.films), self.random.choice(("mask", "draft"))
        lines = (f"Content-Type: {kind}", f"Content-Length: {len(content)}", 'If-Match: "none"')
        self.ask(attack, self.head("PUT", f"/api/films/{film}/{place}", *lines) + content)

    # -- slowness -----------------------------------------------------------------------------

    def slow_headers(self) -> None:
        start = self.head("GET", "/api/health", "X: " + "x" * 200)[:-4]
        self.hold("slow headers", start, lambda line: line.send(b"x"))

    def hanging_bodies(self) -> None:
        film, kind = self.random.choice(self.films), "Content-Type: image/png"
        start = self.head("PUT", f"/api/films/{film}/mask", kind, "Content-Length: 50000")
        trickles = self.random.random() < 0.5
        self.hold("hanging bodies", start, lambda line: line.send(b"x") if trickles else None)

    def hold(self, attack: str, start: bytes, drip: Callable[[socket.socket], object]) -> None:
        """Hold connections open for as long as the server lets us, up to a minute."""
        lines = []
        try:
            for _ in range(HELD):
                line = self.connect()
                lines.append(line)
                line.sendall(start)
            end = time.monotonic() + self.random.uniform(5, 60)
            while time.monotonic() < end and not self.stop.wait(0.5):
                for line in lines:
                    with suppress(OSError):
                        drip(line)
        finally:
            for line in lines:
                line.settimeout(0.01)
                self.hear(attack, line)
                line.close()

    def endless_body(self) -> None:
        with closing(self.connect()) as line:
            kind = self.random.choice(("image/png", "application/json", "multipart/form-data"))
            path = {"application/json": "/api/train", "multipart/form-data": "/api/segment"}.get(
                kind, f"/api/films/{self.films[0]}/draft"
            )
            method = "PUT" if kind == "image/png" else "POST"
            kind += "; boundary=x" if method == "POST" else ""
            lines = (f"Content-Type: {kind}", "Transfer-Encoding: chunked")
            line.sendall(self.head(method, path, *lines))
            part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            chunk = part.ljust(MIB, b"\0")
            with suppress(OSError):
                for _ in range(300):
                    line.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.hear("endless body", line)

    def claimed_body(self) -> None:
        size = self.random.choice((300 * MIB, 2**31, 2**63, 10**30))
        kind = "multipart/form-data; boundary=x"
        lines = (f"Content-Type: {kind}", f"Content-Length: {size}")
        self.ask("claimed body", self.head("POST", "/api/films", *lines) + b"--x\r\n")

    def unread_answers(self) -> None:
        lines = [self.connect() for _ in range(4)]
        film = self.random.choice(self.films)
        for line in lines:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            line.sendall(self.head("GET", f"/api/films/{film}/pixels") * 8)
        self.stop.wait(self.random.uniform(1, 20))
        for line in lines:
            self.hear("unread answers", line)
            line.close()

    def aborted(self) -> None:
        line = self.connect()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST
        path = self.random.choice(("/api/segment", "/api/films", f"/api/films/{self.films[0]}"))
        kind = "Content-Type: multipart/form-data; boundary=x"
        line.sendall(self.head("POST", path, kind, "Content-Length: 5000000") + b"--x\r\n" * 1000)
        self.stop.wait(self.random.uniform(0, 0.1))
        line.close()
        self.tally.answered("aborted", b"")

    # -- content ------------------------------------------------------------------------------

    def bad_masks(self) -> None:
        kind = self.random.choice(("image/png",) * 6 + ("application/octet-stream", "text/html"))
        self.put("bad masks", kind, self.bad_picture())

    def bad_films(self) -> None:
        name = self.random.choice(("a.png", "a.dcm", "../a.json", "a" * 300, "%00", "a.tif"))
        path = self.random.choice(("/api/segment", "/api/films"))
        self.post_film("bad films", path, name, self.bad_picture())

    def post_film(self, attack: str, path: str, name: str, content: bytes) -> None:
        part = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        body = part.encode() + content + b"\r\n--x--\r\n"
        kind = "Content-Type: multipart/form-data; boundary=x"
        lines = (kind, f"Content-Length: {len(body)}")
        self.ask(attack, self.head("POST", path, *lines) + body, wait=120)

    def bad_picture(self) -> bytes:
        side = self.random.choice((1, 300, 10_000, 2**31 - 1))
        noise = self.random.randbytes(self.random.randrange(1, 20_000))
        mark = b"\x89PNG\r\n\x1a\n"
        dicom = noise[:128].ljust(128, b"\0") + b"DICM" + noise
        return self.random.choice(
            (
                noise,
                b"",
                mark,
                mark + noise,
                png(side, side, noise),
                png(side, side, zlib.compress(bytes(10 * MIB))),
                png(300, 300, b"", chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50 * MIB)))),
                png(300, 300, b"", chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50 * MIB)))),
                dicom,
                compressed(noise, self.random),
                mark.ljust(128, b"\0") + b"DICM" + noise,  # both at once
                b"II+\0\x08\0\0\0" + noise,
                b"GIF89a" + noise,
                b"\x1f\x8b\x08" + noise,
            )
        )

    def bad_json(self) -> None:
        depth = self.random.choice((10, 1000, 30_000))
        content = self.random.choice(
            (
                b"[" * depth,
                b'{"a":' * depth,
                b'{"minutes": NaN}',
                b'{"minutes": 1e999}',
                b"null",
                b"\xff\xfe",
                b'{"minutes": "\\ud800"}',
                json.dumps({"settings": ["x" * 1000] * 50}).encode(),
                b" " * (10 * MIB),
                self.random.randbytes(100),
            )
        )
        path = self.random.choice(("/api/train", "/api/train/stop", "/api/models/1/use"))
        lines = ("Content-Type: application/json", f"Content-Length: {len(content)}")
        self.ask("bad json", self.head("POST", path, *lines) + content)

    def bad_multipart(self) -> None:
        content = self.random.choice(
            (
                b"--x\r\n" + b"A: " + b"a" * MIB,
                b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n" * 1000,
                b"--x\r\n" + b"A: b\r\n" * 10_000,
                b"\r\n" * 100_000,
                self.random.randbytes(10_000),
                b"--x--\r\n",
            )
        )
        kind = self.random.choice(("; boundary=x", "; boundary=", "", "; boundary=" + "y" * 5000))
        lines = (f"Content-Type: multipart/form-data{kind}", f"Content-Length: {len(content)}")
        self.ask("bad multipart", self.head("POST", "/api/segment", *lines) + content)

    # -- words --------------------------------------------------------------------------------

    def random_paths(self) -> None:
        methods = ("GET", "HEAD", "OPTIONS", "DELETE", "PUT", "POST", "PATCH", "TRACE", "X" * 50)
        starts = ("/", "/api/films/", "/static/", "/api/train/", f"/api/films/{'0' * 12}/history/")
        names = ("..", "%2e%2e%2fx", "%00", "%ff", "a" * 4000, "?form=x", "?token=%ff", "//", "*")
        path = self.random.choice(starts) + self.random.choice(names)
        path += self.random.choice(("", "/draft", "/mask", "/pixels", "/use", "/download?form=a"))
        extra = self.random.choice(
            ("Accept: */*;q=nan", "Cookie: boneseg-token=%ff", "Range: bytes=0-" + ",0-" * 500)
        )
        method = self.random.choice(methods)
        if method == "DELETE" and self.films[0] in path:
            return
        self.ask("random paths", self.head(method, path, extra, "Connection: close"))

    def not_http(self) -> None:
        content = self.random.choice(
            (
                self.random.randbytes(1000),
                b"\x16\x03\x01" + bytes(500),  # TLS
                b"GET / HTTP/9.9\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
                b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 10_000,
                b"POST /api/train HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
                b"POST /api/train HTTP/1.1\r\nHost: localhost\r\nContent-Length: \xb2\r\n\r\n",
                b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Key: a\r\n\r\n",
                b"\r\n" * 1000,
            )
        )
        self.ask("not http", content)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG (PNG 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, packed: bytes, more: bytes = b"") -> bytes:
    """A PNG that claims a size, regardless of its compressed pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    ends = chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + more + ends


def compressed(noise: bytes, random: random.Random) -> bytes:
    """A DICOM film whose header is right and whose compressed image is noise."""
    film = Dataset()
    film.SOPClassUID, film.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", "1.2.3"
    film.Modality, film.PhotometricInterpretation = "CR", "MONOCHROME2"
    film.Rows = film.Columns = random.choice((64, 10_000, 65_535))
    film.SamplesPerPixel, film.PixelRepresentation = 1, 0
    film.BitsAllocated, film.BitsStored, film.HighBit = 16, 12, 11
    film.PixelData = encapsulate([b"\xff\x4f\xff\x51" + noise + b"\0" * (len(noise) % 2)])
    film["PixelData"].VR = "OB"
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = random.choice(
        (JPEG2000Lossless, JPEGLSLossless, RLELossless)
    )
    written = io.BytesIO()
    film.save_as(written, enforce_file_format=True)
    return written.getvalue()


class Honest:
    """A user who lists the films and saves a mask every second, as a page would."""

    def __init__(self, address: str, film: str, tally: Tally) -> None:
        self.address, self.film, self.tally = address, film, tally
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.wait(1.0):
            started = time.monotonic()
            try:
                with httpx.Client(base_url=self.address, timeout=60) as client:
                    self._work(client)
            except Exception as error:
                self.tally.failed.append(f"honest: {type(error).__name__}: {error}")
            self.tally.honest.append(time.monotonic() - started)

    def _work(self, client: httpx.Client) -> None:
        rows = {
            row["id"]: row for row in client.get("/api/films").raise_for_status().json()["films"]
        }
        row = rows[self.film]
        bits = os.urandom((row["height"] * row["width"] + 7) // 8)
        headers = {"Content-Type": "application/octet-stream", "If-Match": f'"{row["revision"]}"'}
        path = f"/api/films/{self.film}/mask"
        client.put(path, content=bits, headers=headers).raise_for_status()


@contextmanager
def serving(
    folder: Path, env: Mapping[str, str] | None = None
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of a server on a folder, and its process; its log goes to a file beside."""
    (folder / "images").mkdir(parents=True)
    for name in ("hand", "knee"):
        film = Image.open(sample_films() / f"{name}.png")
        film.thumbnail((300, 300))
        film.save(folder / "images" / f"{name}.png")
    log = folder / "log.txt"
    with log.open("wb") as lines:
        server = subprocess.Popen([*COMMAND, "--data", str(folder)], stderr=lines, env=env)
    try:
        while "the light box: " not in log.read_text():
            if server.poll() is not None:
                raise RuntimeError(log.read_text())
            time.sleep(0.1)
        yield log.read_text().partition("the light box: ")[2].split()[0], server
    finally:
        server.terminate()
        server.wait(60)


def memory(address: str) -> tuple[int, int]:
    """MiB of the server, and of its workers together; raises if it does not respond."""
    lines = httpx.get(f"{address}metrics", timeout=60).text.splitlines()
    told = [line.rsplit(" ", 1) for line in lines if line.startswith("boneseg_resident_bytes")]
    sizes = {name.split('"')[1]: round(float(size) / MIB) for name, size in told}
    return sizes.pop("server"), sum(sizes.values())


def attack(
    seconds: float, clients: int = CLIENTS, settle: float = SETTLE, every: float = 30.0
) -> Tally:
    """Attack a local server for so many seconds; returns the counts."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as temporary, serving(Path(temporary) / "data") as running:
        address, server = running
        port = int(address.rstrip("/").rpartition(":")[2])
        with httpx.Client(base_url=address, timeout=60) as client:
            films = [row["id"] for row in client.get("/api/films").json()["films"]]
            for film in films:
                client.get(f"/api/films/{film}").raise_for_status()
        honest = Honest(address, films[-1], tally)
        attackers = [Attacker(port, films[:1], tally, seed) for seed in range(clients)]
        threads = [threading.Thread(target=each.run) for each in (*attackers, honest)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        try:
            due = settle
            while (passed := time.monotonic() - started) < seconds:
                time.sleep(min(0.5, seconds - passed))
                if passed >= due:
                    tally.memory.append((passed, *memory(address)))
                    print(*_line(tally), flush=True)
                    due += every
        finally:
            for each in (*attackers, honest):
                each.stop.set()
            for thread in threads:
                thread.join(150)
        tally.memory.append((time.monotonic() - started, *memory(address)))
        server.terminate()
        if server.wait(60) != 0:
            tally.failed.append(f"the server ended with status {server.returncode}")
        log = (Path(temporary) / "data" / "log.txt").read_text()
        bad = [line for line in log.splitlines() if " ERROR " in line or "Traceback" in line]
        tally.failed += [f"log: {line[:300]}" for line in bad]
    return tally


def grown(tally: Tally) -> int:
    """MiB by which the server's memory has grown since the first measurement."""
    return tally.memory[-1][1] - tally.memory[0][1]


def _line(tally: Tally) -> tuple[str, ...]:
    seconds, server, workers = tally.memory[-1]
    count = sum(tally.statuses.values())
    return (f"{seconds:4.0f} s", f"{count} attacks", f"RSS server {server} MiB, workers {workers}")


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("--minutes", type=float, default=6)
    words.add_argument("--clients", type=int, default=CLIENTS)
    asked = words.parse_args()
    tally = attack(60 * asked.minutes, asked.clients)
    print("answers:", ", ".join(f"{n} x {status}" for status, n in sorted(tally.statuses.items())))
    print("attacks:", ", ".join(f"{n} {name}" for name, n in tally.attacks.most_common()))
    first, last, most = tally.memory[0], tally.memory[-1], max(m[1] for m in tally.memory)
    print(
        f"RSS of the server: {first[1]} MiB at {first[0]:.0f} s, {last[1]} at the end, most {most}"
    )
    print(f"RSS of its workers: {first[2]} MiB at {first[0]:.0f} s, {last[2]} at the end")
    p50, p95 = np.percentile(tally.honest, (50, 95))
    worst = max(tally.honest)
    print(
        f"honest client: {len(tally.honest)} saves, p50 {p50:.2f} s, p95 {p95:.2f}, max {worst:.2f}"
    )
    print(f"failures: {len(tally.failed)}", *tally.failed[:10], sep="\n  ")
    sys.exit(1 if tally.failed or grown(tally) > GROWTH else 0)


if __name__ == "__main__":
    main()
