"""An archive in a bucket of an S3 server: films a second, and what the bucket is asked.

    python -m benchmarks.scale.bucket --films 2000

moto's server runs in a process of its own, so that its requests are those of a network. The last
lines are the count of each kind of request per film, and what the server does alone: the processor
time that it took of the job, and how many films a second it gives to a client that only reads.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import s3fs

from benchmarks.scale.common import check, make_films, segment, show, small_model

SERVER = (
    "import sys, json; from moto.server import ThreadedMotoServer; "
    "server = ThreadedMotoServer(sys.argv[1], 0, verbose=True); server.start(); "
    "print(json.dumps(server.get_host_and_port()), flush=True); sys.stdin.read()"
)


@contextmanager
def s3_server(
    log: Path, host: str = "127.0.0.1", before: Sequence[str] = ()
) -> Iterator[tuple[str, psutil.Process]]:
    """The URL of a server, which logs each request, and its process.

    before: the words of a program that runs it.
    """
    call = [*before, sys.executable, "-c", SERVER, host]
    with log.open("w") as lines, subprocess.Popen(
        call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=lines
    ) as server:  # fmt: skip
        assert server.stdout is not None
        host, port = json.loads(next(line for line in server.stdout if line.startswith(b"[")))
        try:
            yield f"http://{host}:{port}", psutil.Process(server.pid)
        finally:
            server.kill()


def credentials(server: str) -> dict[str, str]:
    """The environment in which S3 is this server."""
    return {
        "AWS_ACCESS_KEY_ID": "boneseg",
        "AWS_SECRET_ACCESS_KEY": "boneseg",
        "AWS_ENDPOINT_URL": server,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def requests(log: Path) -> Counter[str]:
    """Requests by method and kind of object."""
    found: Counter[str] = Counter()
    for method, path in re.findall(r'"(\w+) (\S+) HTTP', log.read_text(errors="replace")):
        place = path.partition("?")[0].removeprefix("/hospital").strip("/").split("/")
        kind = next((part for part in place if part in KINDS), "list")
        found[f"{method} {kind}"] += 1
    return found


KINDS = ("films", "masks", "journal", "results")


def cpu(process: psutil.Process) -> float:
    """Seconds of processor time that a process has taken."""
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=2000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, log = Path(name), Path(name) / "requests"
        make_films(folder / "films", asked.films, 128)
        model = small_model(folder)
        with s3_server(log) as (server, process):
            env = credentials(server)
            bucket = s3fs.S3FileSystem(key="boneseg", secret="boneseg", endpoint_url=server)
            bucket.mkdir("hospital")
            started = time.monotonic()
            bucket.put(str(folder / "films"), "hospital/films", recursive=True)
            put, before = time.monotonic() - started, requests(log)
            show(films=asked.films, put_s=round(put))
            words = ["s3://hospital/films", "--out", "s3://hospital/out", "--cluster", "local"]
            words += ["--worker-cores", "1", "--format", "mask", "--model", str(model)]
            busy = cpu(process)
            ran = segment(words, env=env)
            assert ran.status == 0, ran.told
            during, busy = requests(log) - before, cpu(process) - busy
            again = segment(words, env=env)
            assert f"0 films, 0 failed, {asked.films} done before" in again.told, again.told
            bucket.get("hospital/out", str(folder / "out"), recursive=True)
            started = time.monotonic()
            bucket.cat(bucket.ls("hospital/films", detail=False)[:500])
            reads = 500 / (time.monotonic() - started)
        check(folder / "out", asked.films)
        show(films=asked.films, seconds=round(ran.seconds),
             films_per_s=round(asked.films / ran.seconds, 1), again_s=round(again.seconds),
             driver_mb=round(max(ran.usage.driver)))  # fmt: skip
        show(**{kind: round(count / asked.films, 3) for kind, count in sorted(during.items())})
        show(requests_per_film=round(sum(during.values()) / asked.films, 3),
             server_cpu_s=round(busy), server_reads_per_s=round(reads))  # fmt: skip


if __name__ == "__main__":
    main()
