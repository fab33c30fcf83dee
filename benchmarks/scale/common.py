"""What the measurements of archives share: films, a small model, the command, and its memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
from PIL import Image

from boneseg.recipes.builtin import load_recipe
from boneseg.simulate import simulate
from boneseg.training.train import train

SMALL = ("prepare.height=64", "prepare.width=64", "network.width=4", "network.levels=3")


def make_films(folder: Path, count: int, side: int, base: int = 50) -> None:
    """Simulated films, no two of which are the same: `base` views, and shifts of their grey."""
    views = folder.parent / "views"
    simulate(views, min(base, count), seed=1, size=(side, side))
    pixels = [np.asarray(Image.open(path)) for path in sorted((views / "images").iterdir())]
    folder.mkdir(parents=True)
    for number in range(count):
        film = pixels[number % len(pixels)].copy()
        film.flat[:8] = list(number.to_bytes(8, "little"))  # another content, and so digest
        Image.fromarray(film).save(folder / f"{number:06d}.png", compress_level=1)


def small_model(folder: Path) -> Path:
    """A model that costs so little that the rest of the road shows; it finds bones badly."""
    simulate(folder / "training", 12, seed=2, size=(64, 64))
    recipe = load_recipe("default").with_settings([*SMALL, "run.epochs=2", "run.guard=false"])
    from boneseg.dataset.open import open_dataset

    run = train(open_dataset(folder / "training"), recipe, folder / "run")
    return run.save(folder / "run" / "bundle").path


@dataclass
class Usage:
    """Resident memory in MB of the command and its largest worker, by films done."""

    films: list[int] = field(default_factory=list)
    driver: list[float] = field(default_factory=list)
    worker: list[float] = field(default_factory=list)

    def after(self, films: int) -> tuple[list[float], list[float]]:
        """Memory of both after so many films."""
        first = next((i for i, done in enumerate(self.films) if done >= films), len(self.films))
        return self.driver[first:], self.worker[first:]


@dataclass
class Ran:
    """How a command ended."""

    status: int
    seconds: float
    told: str
    usage: Usage


def segment(
    words: Sequence[object],
    *,
    before: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    count: Callable[[], int] = lambda: 0,
    watch: Callable[[int, float], None] = lambda done, seconds: None,
    every: float = 2.0,
) -> Ran:
    """Run `boneseg segment`, and sample its memory.

    before: the words of a program that runs it. count: films done. watch: called with these and the
    seconds so far.
    """
    call = [*before, sys.executable, "-m", "boneseg", "segment", *map(str, words)]
    usage, began = Usage(), time.monotonic()
    with subprocess.Popen(
        call, env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True) as command:  # fmt: skip
        assert command.stderr is not None
        while command.poll() is None:
            time.sleep(every)
            done = count()
            watch(done, time.monotonic() - began)
            _sample(command.pid, done, usage)
        told = command.stderr.read()
    return Ran(command.returncode, time.monotonic() - began, told, usage)


def _sample(pid: int, done: int, usage: Usage) -> None:
    try:
        ours = psutil.Process(pid)
        driver, workers = ours.memory_info().rss, [0]
        for process in ours.children(recursive=True):
            if "".join(process.cmdline()).startswith("ray::Worker"):
                workers.append(process.memory_info().rss)
    except psutil.Error:
        return
    usage.films.append(done)
    usage.driver.append(driver / 1e6)
    usage.worker.append(max(workers) / 1e6)


def done_films(out: Path) -> int:
    """Films that are done."""
    return sum(1 for _ in out.glob("masks/*/*/*_mask.png"))


def check(out: Path, films: int) -> None:
    """Exactly one row a film, and none failed."""
    tables = [pq.read_table(path).to_pylist() for path in out.glob("results/*/*.parquet")]
    rows = [row for table in tables for row in table]
    failed = [row["error"] for row in rows if row["error"]]
    assert len(rows) == len({row["source"] for row in rows}) == films, len(rows)
    assert not failed, failed[0]
    assert len(list(out.rglob("*_mask.png"))) == len({row["digest"] for row in rows})


def show(**figures: object) -> None:
    print(json.dumps(figures), flush=True)
