"""A worker process."""

from __future__ import annotations

import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from boneseg.bundle.shipped import bundled
from boneseg.errors import RadiographError
from boneseg.server.workers.process import FREED
from boneseg.server.workers.tasks import SegmentUpload
from boneseg.server.workers.worker import Worker
from tests.support.lightbox import png_that_claims


def test_a_worker_without_a_server_exits_silently() -> None:
    call = [sys.executable, "-c", "from boneseg.server.workers.process import serve; serve()"]
    done = subprocess.run(call, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@contextmanager
def _worker() -> Iterator[Worker]:
    worker = Worker(frozenset(), 120)
    worker.start(bundled())
    try:
        yield worker
    finally:
        worker.kill()


def _memory(worker: Worker) -> int:
    (pid,) = worker.pids
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_keeps_no_memory_of_a_film_that_it_refused(tmp_path: Path) -> None:
    width, height = 9_990, 9_990
    film = tmp_path / "film.png"
    film.write_bytes(png_that_claims(width, height, zlib.compress(bytes(width * height))))
    with _worker() as worker:
        before = _memory(worker)
        for _ in range(2):
            with pytest.raises(RadiographError, match=r"film\.png: is damaged or truncated"):
                worker.run(bundled(), SegmentUpload(film, "film.png", "mask"))
        assert _memory(worker) < before + FREED
