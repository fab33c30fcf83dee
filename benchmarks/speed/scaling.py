"""How time and memory grow with the number of films and with their size.

    python -m benchmarks.speed.scaling [--quick]

`boneseg segment`, as a process, on 10 to 10,000 films of 256 squared (the curve should be flat), on
films of 256 squared to 4096 squared, and on one of 12 and one of 48 megapixels: milliseconds a film
beyond the start of the process, and the peak of its memory. And where the time of a film goes,
stage by stage, at three sizes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import SPEED, given_networks, machine, write_section
from boneseg.bundle.shipped import bundled, sample_films
from boneseg.bundle.store import load_bundle
from boneseg.inference.engine import MOST, Engine
from boneseg.inference.plausibility import SIDE, likeness
from boneseg.inference.restoring import restored_mask
from boneseg.masks.formats import overlay
from boneseg.masks.formats.png import write_mask
from boneseg.preprocessing import Floats
from boneseg.preprocessing import resized as shrunk
from boneseg.radiograph.discovery import find_radiographs
from boneseg.radiograph.read import read_radiograph

COUNTS, SIDES = (10, 100, 1000, 10_000), (256, 512, 1024, 2048, 4096)
MANY = {512: 201, 1024: 101, 2048: 31, 4096: 11}  # films of each side: some 10 s of them
LARGE = {"12 megapixels": (4000, 3000), "48 megapixels": (8000, 6000)}


@dataclass(frozen=True)
class Cost:
    """Of a process: seconds in all, and the peak of its memory."""

    seconds: float
    megabytes: float


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--quick", action="store_true", help="no more than 100 films, or 1024 px")
    asked = words.parse_args()
    counts, sides = (COUNTS[:2], SIDES[:3]) if asked.quick else (COUNTS, SIDES)
    film = read_radiograph(find_radiographs([sample_films()])[0]).pixels
    spawning = ProcessPoolExecutor(1, get_context("spawn"))
    with tempfile.TemporaryDirectory() as folder, spawning as apart:
        root = Path(folder)
        start = cost(films(root / "start", film, (256, 256), 1), root / "out-start").seconds
        lines = [
            f"Made by `python -m benchmarks.speed.scaling` on {machine()}:",
            "`boneseg segment` with the bundled model, mask and overlay; ms a film after the",
            "first, the peak memory of the process, and the rate of films relative to that of the",
            "bare network on each film and its mirror image, on both grids, with as many in",
            "parallel.",
            "",
            "| films | of | ms a film | peak MB | of the network's rate |",
            "|---|---|---|---|---|",
        ]
        trials = [(count, (256, 256), "256 x 256") for count in counts]
        trials += [(MANY[side], (side, side), f"{side} x {side}") for side in sides[1:]]
        trials += [] if asked.quick else [(3, shape, name) for name, shape in LARGE.items()]
        for count, shape, name in trials:
            place = root / name.replace(" ", "-") / str(count)
            spent = cost(films(place, film, shape, count), root / "out" / place.name / name)
            each = 1000 * (spent.seconds - start) / (count - 1)
            # In a separate process: the peak memory includes that of the parent.
            share = 1000 * apart.submit(bare, resized(film, shape)).result() / each
            lines.append(f"| {count} | {name} | {each:.1f} | {spent.megabytes:.0f} | {share:.0%} |")
            print(lines[-1], flush=True)
        lines += [
            "",
            "Where the time of a film goes (median of 9):",
            "",
            *stages(root, film, sides),
        ]
    print("\n".join(lines))
    if not asked.quick:
        write_section("Scaling", lines, SPEED)


class Network:
    """The bare networks of the bundled model, and what they are given for a film."""

    def __init__(self, at_once: int = 1) -> None:
        self.engine = Engine(load_bundle(bundled()), at_once=at_once)

    def on(self, pixels: Floats) -> Callable[[], list[Floats]]:
        """What it is given for a film."""
        given = given_networks(self.engine, pixels)
        return lambda: [network(films) for network, films in given]


def bare(pixels: Floats) -> float:
    """Seconds of the bare network for a film, given as many at once as `segment` gives it."""
    at_once = Engine(load_bundle(bundled()), at_once=MOST).at_once
    look = Network(at_once).on(pixels)
    with ThreadPoolExecutor(at_once) as pool:

        def round_of_films() -> None:
            for waiting in [pool.submit(look) for _ in range(5 * at_once)]:
                waiting.result()

        round_of_films()
        return median(round_of_films) / (5 * at_once)


def resized(film: Floats, shape: tuple[int, int]) -> Floats:
    """A film of (height, width), in 8 bits of grey, as it is read back."""
    grey = Image.fromarray((film * 255).astype(np.uint8)).resize(shape[::-1])
    return np.asarray(grey, np.float32) / 255


def films(folder: Path, film: Floats, shape: tuple[int, int], count: int) -> Path:
    """A folder of so many films of (height, width): one file, under many names."""
    folder.mkdir(parents=True)
    grey = np.rint(resized(film, shape) * 255).astype(np.uint8)
    Image.fromarray(grey).save(folder / "0.png")
    for number in range(1, count):
        os.link(folder / "0.png", folder / f"{number}.png")
    return folder


def cost(folder: Path, out: Path) -> Cost:
    """The time of `boneseg segment` for a folder."""
    call = [sys.executable, "-c", "from boneseg.cli import main; main()", "segment"]
    started = time.perf_counter()
    process = subprocess.Popen([*call, str(folder), "--out", str(out)], stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"segment of {folder} failed")
    return Cost(time.perf_counter() - started, usage.ru_maxrss / 1024)


def stages(root: Path, film: Floats, sides: tuple[int, ...]) -> list[str]:
    """A row a size: the share of each stage."""
    network, engine = Network(), Engine(bundled())
    rows: list[str] = []
    for side in dict.fromkeys((256, 1024, sides[-1])):
        path = films(root / f"stages-{side}", film, (side, side), 1) / "0.png"
        read = read_radiograph(path)
        places = [one.grid.place((side, side)) for one in engine.passes((side, side))]
        sizes = [(SIDE, SIDE), *(place.size for place in places)]
        thumbnail, *_ = shrunk(read.grey, sizes)
        find = network.on(read.pixels)
        probability = find()[0][0, 0]
        seen = engine.find(read)
        drawn = engine.segmentation(read, seen, path)
        parts: dict[str, Callable[[], object]] = {
            "read": partial(read_radiograph, path),
            "prepare": partial(shrunk, read.grey, sizes),
            "film check": partial(likeness, thumbnail),
            "network": find,
            "restore": partial(restored_mask, probability, places[0], 0.5),
            "write the mask": partial(write_mask, root / "mask.png", seen.mask),
            "write the overlay": partial(overlay.write, root / "overlay.png", drawn),
        }
        taken = {name: median(part) for name, part in parts.items()}
        whole = sum(taken.values())
        if not rows:
            rows += [f"| size | ms | {' | '.join(taken)} |", f"|{'---|' * (len(taken) + 2)}"]
        shares = " | ".join(f"{one / whole:.0%}" for one in taken.values())
        rows.append(f"| {side} x {side} | {1000 * whole:.0f} | {shares} |")
    return rows


def median(run: Callable[[], object], times: int = 9) -> float:
    """Seconds."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
