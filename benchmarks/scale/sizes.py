"""Processor time and bytes of a film, by size, in one process on one core.

python -m benchmarks.scale.sizes
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.scale.common import make_films, show
from boneseg.inference.batch import segment_files
from boneseg.inference.engine import Engine
from boneseg.radiograph.read import read_radiograph

FILMS = {512: 10, 1024: 6, 2048: 4}  # by their side


def mean_size(folder: Path, pattern: str) -> float:
    return statistics.mean(path.stat().st_size for path in folder.glob(pattern))


def main() -> None:
    engine = Engine(threads=1, at_once=1)
    for side, count in FILMS.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_films(folder / "films", count, side, base=count)
            files = sorted((folder / "films").iterdir())
            started = time.process_time()
            films = [read_radiograph(path) for path in files]
            reading = (time.process_time() - started) / count
            engine.find(films[0])
            started = time.process_time()
            segment_files(files, folder / "out", engine, formats=["mask"])
            seconds = (time.process_time() - started) / count
            show(side=side, film_kb=round(mean_size(folder / "films", "*") / 1e3),
                 mask_kb=round(mean_size(folder / "out", "*_mask.png") / 1e3, 1),
                 reading_ms=round(reading * 1e3, 1), all_ms=round(seconds * 1e3),
                 films_a_core_hour=round(3600 / seconds))  # fmt: skip


if __name__ == "__main__":
    main()
