"""The light box under load: clients that post films, against the engine alone.

    python -m benchmarks.serving.serve_load --clients 16 --minutes 2

Films are simulated: 512 x 512, 8-bit PNG. The engine alone finds the bones of the same films, one
after the other, before and after; its share is what the server passes on of that.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np

from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle
from boneseg.inference.engine import Engine
from boneseg.radiograph.read import read_radiograph
from boneseg.simulate import simulate

COMMAND = [sys.executable, "-c", "from boneseg.cli import main; main()", "serve", "--port", "0"]


def engine_alone(films: list[Path], seconds: float) -> float:
    """Films a second of the engine on pixels that are read already."""
    engine = Engine(load_bundle(bundled()))
    pixels = [read_radiograph(path).pixels for path in films]
    engine.find(pixels[0])  # the first compiles
    started, done = time.monotonic(), 0
    while time.monotonic() - started < seconds:
        engine.find(pixels[done % len(pixels)])
        done += 1
    return done / (time.monotonic() - started)


class Clients:
    """Threads that post films until they are stopped."""

    def __init__(self, address: str, films: list[bytes], count: int) -> None:
        self.address, self.films = address, films
        self.seconds: list[float] = []
        self.errors: list[str] = []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._post, args=(n,)) for n in range(count)]

    def _post(self, number: int) -> None:
        with httpx.Client(base_url=self.address, timeout=120) as client:
            while not self.stop.is_set():
                film = self.films[number % len(self.films)]
                started = time.monotonic()
                answer = client.post("/api/segment", files={"file": ("film.png", film)})
                self.seconds.append(time.monotonic() - started)
                if answer.status_code != 200:
                    self.errors.append(f"{answer.status_code} {answer.text[:200]}")
                number += 1


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("--clients", type=int, default=16)
    words.add_argument("--minutes", type=float, default=2)
    asked = words.parse_args()
    alone_seconds, step = min(20, 60 * asked.minutes), min(15, 60 * asked.minutes)
    with tempfile.TemporaryDirectory() as folder:
        simulate(Path(folder) / "films", 16, size=(512, 512))
        films = sorted((Path(folder) / "films" / "images").iterdir())
        alone = [engine_alone(films, alone_seconds)]
        with subprocess.Popen(COMMAND, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr is not None
            address = server.stderr.readline().partition("the light box: ")[2].strip()
            clients = Clients(address, [path.read_bytes() for path in films], asked.clients)
            try:
                for thread in clients.threads:
                    thread.start()
                started = time.monotonic()
                while time.monotonic() - started < 60 * asked.minutes:
                    time.sleep(step)
                    passed, done = time.monotonic() - started, len(clients.seconds)
                    print(f"{passed:4.0f} s  {done} films  RSS {memory(address)} MiB", flush=True)
            finally:
                clients.stop.set()
                for thread in clients.threads:
                    thread.join()
                spent = time.monotonic() - started
                server.terminate()
        alone.append(engine_alone(films, alone_seconds))
    rate = len(clients.seconds) / spent
    p50, p95 = np.percentile(clients.seconds, (50, 95))
    print(f"{len(clients.seconds)} films, {len(clients.errors)} errors {clients.errors[:3]}")
    print(f"p50 {p50:.2f} s, p95 {p95:.2f} s, {rate:.2f} films a second")
    before, after = alone
    print(f"the engine alone: {before:.2f} films a second before, {after:.2f} after")
    print(f"the server's share: {rate / max(alone):.0%}")


def memory(address: str) -> str:
    """The memory of its processes as the server reports it."""
    lines = httpx.get(f"{address}metrics", timeout=60).text.splitlines()
    told = [line.rsplit(" ", 1) for line in lines if line.startswith("boneseg_resident_bytes")]
    return ", ".join(f"{name.split(chr(34))[1]} {float(size) / 2**20:.0f}" for name, size in told)


if __name__ == "__main__":
    main()
