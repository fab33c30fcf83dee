"""Memory of the command and of a worker over an archive of small films, end to end.

    python -m benchmarks.scale.memory --films 10000

Films are read, segmented by a small model and written; what is measured is the command as users run
it, from outside.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.scale.common import check, done_films, make_films, segment, show, small_model

FIRST = 1000  # films, after which memory is flat


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=96)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.monotonic()
        make_films(folder / "films", asked.films, asked.side)
        model = small_model(folder)
        show(films=asked.films, side=asked.side, made_in_s=round(time.monotonic() - started))
        out, told = folder / "out", [0]

        def watch(done: int, seconds: float) -> None:
            if done // FIRST > told[0]:
                told[0] = done // FIRST
                show(done=done, seconds=round(seconds))

        words = [folder / "films", "--cluster", "local", "--worker-cores", 1, "--out", out]
        words += ["--format", "mask", "--model", model]
        ran = segment(words, count=lambda: done_films(out), watch=watch)
        assert ran.status == 0, ran.told
        check(out, asked.films)
        driver, worker = ran.usage.after(min(FIRST, asked.films // 10))
        show(
            seconds=round(ran.seconds),
            films_per_s=round(asked.films / ran.seconds, 1),
            driver_mb=[round(driver[0]), round(max(driver))],
            driver_growth=round(max(driver) / driver[0] - 1, 3),
            worker_mb=[round(worker[0]), round(max(worker))],
            worker_growth=round(max(worker) / worker[0] - 1, 3),
        )


if __name__ == "__main__":
    main()
