"""Two workers of one core against one worker of one core, on films of 512 x 512.

    chrt -r 10 python -m benchmarks.scale.workers --films 60

All run the bundled model on the same films, in turn, a number of times; the time is that from the
first film that is done to the last, so that the start of Ray is not in it. A worker reads and
writes films while its core segments others, for which it takes a core that is free: one worker is
measured on a machine of one core, with the command, and on one of two.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.scale.common import make_films, show
from boneseg._util import runtime
from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle
from boneseg.cluster.archive import Progress, segment_archive
from boneseg.cluster.row import Row
from boneseg.cluster.worker import Job


def rate(films: Path, out: Path, workers: int, cores: int) -> float:
    """Films a second, between the first and the last that is done, on so many cores."""
    os.sched_setaffinity(0, range(cores))
    ended: list[float] = []

    def report(progress: Progress, row: Row | None) -> None:
        if row is not None:
            ended.append(time.monotonic())

    bundle = load_bundle(bundled())
    job = Job(str(out), bundle.card.card_sha256, ("mask",), cores=1, every_bone=True)
    segment_archive([str(films)], job, bundle, "local", workers=workers, report=report)
    return (len(ended) - 1) / (ended[-1] - ended[0])


def mean_size(files: list[Path], kind: str) -> float:
    """The mean size of a kind of file, bytes."""
    return statistics.mean(path.stat().st_size for path in files if kind in path.parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=60)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    runtime.start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_films(folder / "films", asked.films, asked.side, base=10)
        size = statistics.mean(path.stat().st_size for path in (folder / "films").iterdir())
        found: dict[tuple[int, int], list[float]] = {(1, 1): [], (1, 2): [], (2, 2): []}
        for number in range(asked.rounds):
            for (workers, cores), rates in found.items():
                out = folder / f"out-{number}-{workers}-{cores}"
                rates.append(rate(folder / "films", out, workers, cores))
                show(workers=workers, cores=cores, films_per_s=round(rates[-1], 2))
        one, free, two = (statistics.median(rates) for rates in found.values())
        written = [path for path in out.rglob("*") if path.is_file()]
        show(side=asked.side, gain=round(two / one, 2), gain_over_free=round(two / free, 2),
             films_a_core_hour=round(one * 3600), film_kb=round(size / 1e3),
             read_mb_per_s=round(one * size / 1e6, 2),
             **{kind: round(mean_size(written, kind)) for kind in ("masks", "records", "results")},
        )  # fmt: skip


if __name__ == "__main__":
    main()
