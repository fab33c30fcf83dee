"""Memory and time of the driver of an archive, with workers that only make up rows.

    python -m benchmarks.scale.driver --films 1000000

The driver is the real one: it lists a Parquet manifest, gives batches to workers over Ray, and
writes the rows. Prints its resident memory after each tenth, and the time of each stage.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle
from boneseg.cluster import crew
from boneseg.cluster.archive import Progress, segment_archive
from boneseg.cluster.ledger import Digests
from boneseg.cluster.row import Row
from boneseg.cluster.worker import Job


class Stub:
    """A worker that reads and segments nothing."""

    def version(self) -> str:
        from importlib.metadata import version

        return version("boneseg")

    def start(self, job: Job, model: Mapping[str, bytes], known: Digests) -> str:
        return "no engine"

    def segment(self, sources: Sequence[str]) -> list[Row]:
        return [
            Row(
                source,
                "0" * 64,
                1,
                512,
                512,
                "knee",
                verdict="good",
                area_px=1,
                outputs={"mask": source},
            )
            for source in sources
        ]


def resident() -> float:
    """Memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def manifest(path: Path, films: int) -> None:
    schema = pa.schema({"source": pa.string()})
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, films, 50_000):
            names = [
                f"s3://hospital/films/{n:012d}.dcm"
                for n in range(first, min(films, first + 50_000))
            ]
            writer.write_table(pa.table({"source": names}, schema))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=100_000)
    films = parser.parse_args().films
    crew.Worker = Stub  # type: ignore[misc, assignment]
    bundle, started, told = load_bundle(bundled()), time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        manifest(Path(folder) / "films.parquet", films)
        print(f"manifest of {films} films: {time.monotonic() - started:.1f} s, {resident():.0f} MB")
        started = time.monotonic()

        def report(progress: Progress, row: Row | None) -> None:
            nonlocal told
            if progress.done * 10 // films > told or (told == 0 and progress.done == 1000):
                told = max(1, progress.done * 10 // films) if progress.done > 1000 else 0
                seconds = time.monotonic() - started
                print(
                    f"{progress.done:>9} films  {seconds:7.1f} s  {resident():6.0f} MB", flush=True
                )

        job = Job(str(Path(folder) / "out"), bundle.card.card_sha256, ("mask",), cores=1)
        done = segment_archive(
            [str(Path(folder) / "films.parquet")], job, bundle, "local", workers=2, report=report
        )
        seconds = time.monotonic() - started
        shards = len(list(Path(folder).rglob("part-*.parquet")))
        print(
            f"{done.done} films, {shards} shards: {seconds:.1f} s, {resident():.0f} MB at the end"
        )


if __name__ == "__main__":
    main()
