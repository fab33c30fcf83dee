"""Films of real size: a folder of them against its floor, and against other programs' ways.

    python -m benchmarks.speed.real_size [--full] [--megapixels 12] [--syntax "JPEG-LS"]

The floor of a film is what no program that does this can omit: decoding it with the fastest
permissively licensed decoder, the network on the film and its mirror image (on all grids of a
large film), and writing a 1-bit mask. Floor, `segment_files` and the ways of nnU-Net and MONAI take
turns on the same files, each with as many threads as `segment_files` uses; the other programs' ways
take two films at each turn. Shares are of the floor, by the clock and by processor time of all
processes; where other programs run, only the latter says much. By the clock a folder of few films
is slow: at its end threads have no film left. Peak memory is that of `boneseg segment` on one film,
summed over its processes. `--full` takes all sizes and syntaxes.

The other programs' ways have the same network on the first grid. MONAI's is MONAI: LoadImage,
Resize, and SaveImage (it stores films as columns first, so masks are transposed back). nnU-Net's is
rewritten after nnunetv2 2.6, as it is not installed: NaturalImage2DIO, z-score, resampling of order
3, probabilities of both classes resampled in order 1, argmax, and an 8-bit PNG; DICOM, which it
does not read as 2-D films, by pydicom.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from benchmarks.common import SPEED, machine, write_section
from benchmarks.speed.real_films import SYNTAXES, Syntax, grained
from boneseg._util import runtime
from boneseg.inference.batch import segment_files
from boneseg.inference.engine import MOST, Engine
from boneseg.preprocessing import Floats
from boneseg.radiograph.read import read_radiograph

SIZES = (2, 4, 8, 12, 24, 48)  # megapixels
QUICK = ((2, 12), ("uncompressed", "JPEG-LS", "JPEG 2000"))
FILMS = {2: 16, 4: 12, 8: 12, 12: 12, 24: 8, 48: 6}  # in a folder, by megapixels
FEW = 2  # of them for the ways of other programs, and to warm up
ROUNDS, WARM = 5, 1
_TICKS = os.sysconf("SC_CLK_TCK")
WAYS = ("floor", "mask", "overlay", "nnU-Net", "MONAI")


@dataclass(frozen=True)
class Spent:
    """Of a film in a folder: seconds by the clock, and of processor time in all processes."""

    clock: float
    core: float


class Folder:
    """A folder of films in one syntax: one film, under many names."""

    def __init__(self, root: Path, syntax: Syntax, megapixels: float, count: int) -> None:
        values = grained(megapixels)
        self.out, films = root / "out", root / "films"
        films.mkdir(parents=True)
        self.out.mkdir()
        first = films / f"0{syntax.suffix}"
        self.data = root / "frame"
        self.data.write_bytes(syntax.save(first, values))
        for number in range(1, count):
            os.link(first, films / f"{number}{syntax.suffix}")
        self.paths = sorted(films.iterdir())
        self.shape = (values.shape[0], values.shape[1])
        self.decode = syntax.decoders[fastest(syntax, self.data.read_bytes(), self.shape)]


class Ways:
    """What takes turns on a folder of films."""

    def __init__(self, folder: Folder) -> None:
        self.folder, self.engine = folder, Engine(at_once=MOST)
        self.preparation = self.engine.bundle.preparation(folder.shape)
        batch = 2 if self.engine.bundle.card.flips else 1
        grids = [self.preparation, *self.engine.bundle.further(folder.shape)]
        noise = np.random.default_rng(0)
        self.given = [
            noise.normal(size=(batch, 1, grid.height, grid.width)).astype(np.float32)
            for grid in grids
        ]
        self.threshold = self.engine.bundle.card.threshold
        self.mask = self.engine.segment(read_radiograph(folder.paths[0]))

    def clear(self) -> None:
        """Remove the outputs: to replace a file can wait for the disk."""
        for path in self.folder.out.iterdir():
            path.unlink()

    def run(self, way: str, count: int) -> None:
        """Take so many films of the folder this way."""
        if way in ("mask", "overlay"):
            formats = ("mask", "overlay") if way == "overlay" else ("mask",)
            results = segment_files(
                self.folder.paths[:count], self.folder.out, self.engine, formats=formats
            )
            assert not any(result.error for result in results), results[0].error
            return
        ways = {"floor": self.floor, "nnU-Net": self.nnunet, "MONAI": self.monai}
        with ThreadPoolExecutor(self.engine.at_once + 1) as pool:
            list(pool.map(ways[way], range(count)))

    def probability(self, grid: Floats) -> Floats:
        """The network's mean probability of a film on the working grid."""
        films = np.ascontiguousarray(np.broadcast_to(grid, self.given[0].shape))
        found: Floats = self.engine._network(films).reshape(-1, *grid.shape).mean(axis=0)
        return found

    def floor(self, number: int) -> None:
        self.folder.decode(self.folder.data.read_bytes(), self.folder.shape)
        for films in self.given:
            self.engine._network(films)
        packed = zlib.compress(np.packbits(self.mask, axis=1), 1)  # all of a PNG but its chunks
        (self.folder.out / f"{number}_floor.png").write_bytes(packed)

    def nnunet(self, number: int) -> None:
        path = self.folder.paths[number]
        read = pydicom.dcmread(path).pixel_array if path.suffix == ".dcm" else Image.open(path)
        film = np.asarray(read).astype(np.float32)[None, None]
        film -= film.mean()
        film /= max(film.std(), 1e-8)
        size = self.preparation.height, self.preparation.width
        small = resampled(film[0, 0], size, order=3)
        bone = self.probability(small)
        both = np.stack([resampled(p, self.folder.shape, order=1) for p in (1 - bone, bone)])
        mask = both.argmax(axis=0).astype(np.uint8)
        Image.fromarray(mask).save(self.folder.out / f"{number}_nnunet.png")

    def monai(self, number: int) -> None:
        from monai.data import PILReader, PydicomReader
        from monai.transforms import (
            AsDiscrete,
            Compose,
            EnsureChannelFirst,
            LoadImage,
            Resize,
            SaveImage,
            ScaleIntensity,
            Transpose,
        )

        path = self.folder.paths[number]
        reader = PydicomReader() if path.suffix == ".dcm" else PILReader()
        size = self.preparation.height, self.preparation.width
        film = Compose([LoadImage(reader, image_only=True), EnsureChannelFirst()])(path)
        film = ScaleIntensity()(film[..., 0] if film.ndim == 4 else film)  # DICOM: one slice
        small = Resize(size, mode="area")(Transpose((0, 2, 1))(film))
        bone = self.probability(np.asarray(small[0], np.float32))
        large = Resize(self.folder.shape, mode="bilinear")(bone[None])
        mask = Transpose((0, 2, 1))(AsDiscrete(threshold=self.threshold)(large))
        SaveImage(
            self.folder.out,
            output_postfix=f"{number}_monai",
            output_ext=".png",
            writer="PILWriter",
            output_dtype=np.uint8,
            scale=255,
            resample=False,
            separate_folder=False,
            print_log=False,
        )(mask)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--full", action="store_true", help="all sizes and syntaxes")
    words.add_argument("--megapixels", type=float, action="append", help="sizes to take")
    words.add_argument("--syntax", action="append", choices=SYNTAXES, help="syntaxes to take")
    words.add_argument("--rounds", type=int, default=ROUNDS)
    words.add_argument("--ours", action="store_true", help="without the other programs' ways")
    words.add_argument("--films", type=int, help="in a folder")
    asked = words.parse_args()
    warnings.filterwarnings("ignore", module="monai")  # a film has no orientation in a patient
    runtime.share_freed_memory()  # as `boneseg segment` does
    logging.disable()  # MONAI reports each time that it has no GPU to decode on
    sizes = asked.megapixels or (SIZES if asked.full else QUICK[0])
    names = asked.syntax or (SYNTAXES if asked.full else QUICK[1])
    ways = WAYS[:3] if asked.ours else WAYS
    lines = [
        f"Made by `python -m benchmarks.speed.real_size` on {machine()}: a folder of films",
        "with the bundled model; ms a film, the median of turns, by the clock; shares of the",
        "floor by the clock and by processor time; peak MB of `boneseg segment` on one film.",
        "",
        f"| megapixels | syntax | {' | '.join(ways)} | mask: share of the floor "
        "| overlay: share of the floor | peak MB, mask | peak MB, overlay |",
        f"|{'---|' * (len(ways) + 6)}",
    ]
    print("\n".join(lines), flush=True)
    for megapixels in sizes:
        for name in names:
            lines.append(row(name, megapixels, ways, asked.rounds, asked.films))
            print(lines[-1], flush=True)
    if asked.full:
        write_section("Films of real size", lines, SPEED)


def row(name: str, megapixels: float, ways: Sequence[str], rounds: int, films: int | None) -> str:
    """The figures of one size and syntax, as a row of the table."""
    count = films or FILMS.get(round(megapixels), 6)
    with tempfile.TemporaryDirectory() as place:
        folder = Folder(Path(place), SYNTAXES[name], megapixels, count)
        spent = in_turn(Ways(folder), ways, rounds, count)
        peaks = [peak(folder, formats) for formats in ("mask", "mask,overlay")]
    cells = [f"{1000 * spent[way].clock:.0f}" if way in spent else "fails" for way in ways]
    for way in ("mask", "overlay"):
        clock, core = (
            getattr(spent["floor"], of) / getattr(spent[way], of) for of in ("clock", "core")
        )
        cells.append(f"{clock:.0%}, {core:.0%}")
    cells += [f"{megabytes:.0f}" for megabytes in peaks]
    return f"| {megapixels:g} | {name} | {' | '.join(cells)} |"


def in_turn(ways: Ways, names: Sequence[str], rounds: int, count: int) -> dict[str, Spent]:
    """The median cost of a film each way; a way that cannot read the films is left out."""
    times: dict[str, list[Spent]] = {name: [] for name in names}
    for turn in range(WARM + rounds):
        for name in list(times):
            films = count if turn >= WARM and name in WAYS[:3] else FEW
            ways.clear()
            clock, core = time.perf_counter(), processor_time()
            try:
                ways.run(name, films)
            except Exception as error:  # another program's, on a syntax that it does not read
                if name in WAYS[:3]:
                    raise
                print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
                del times[name]
                continue
            if turn >= WARM:
                spent = time.perf_counter() - clock, processor_time() - core
                times[name].append(Spent(spent[0] / films, spent[1] / films))
    return {
        name: Spent(median(one.clock for one in all_), median(one.core for one in all_))
        for name, all_ in times.items()
    }


def fastest(syntax: Syntax, data: bytes, shape: tuple[int, int]) -> str:
    """The name of the decoder that takes the least processor time."""

    def cost(decode: Callable[[bytes, tuple[int, int]], NDArray[np.generic]]) -> float:
        started = time.process_time()
        decode(data, shape)
        return time.process_time() - started

    decoders: Mapping[str, Callable[[bytes, tuple[int, int]], NDArray[np.generic]]]
    decoders = syntax.decoders
    return min(decoders, key=lambda name: min(cost(decoders[name]) for _ in range(2)))


def resampled(film: Floats, size: tuple[int, int], order: int) -> Floats:
    """As skimage's `resize` does, which nnU-Net calls."""
    zoom = [new / old for new, old in zip(size, film.shape, strict=True)]
    found: Floats = ndimage.zoom(film, zoom, order=order, mode="nearest", grid_mode=True)
    return found


# -- processes ------------------------------------------------------------------------------------


def descendants(process: int) -> Iterator[int]:
    """A process and all below it."""
    yield process
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            below = children.read_text().split()
        except OSError:  # the thread has ended
            continue
        for child in below:
            yield from descendants(int(child))


def processor_time() -> float:
    """Seconds of processor time of this process and of those that it has started."""
    ended = os.times()
    total = ended.children_user + ended.children_system
    for process in descendants(os.getpid()):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def peak(folder: Folder, formats: str) -> float:
    """The peak memory of `boneseg segment` on one film, MB: the sum over its processes."""
    program = [sys.executable, "-m", "boneseg", "segment", str(folder.paths[0])]
    words = ["--out", str(folder.out / "peak"), "--format", formats]
    highest: dict[int, float] = {}
    with subprocess.Popen([*program, *words], stderr=subprocess.DEVNULL) as process:
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.005):
                for one in descendants(process.pid):
                    try:
                        status = Path(f"/proc/{one}/status").read_text()
                        high = int(status.partition("VmHWM:")[2].split()[0]) / 1024
                    except (OSError, IndexError):  # it has just ended
                        continue
                    highest[one] = max(high, highest.get(one, 0))

        watcher = threading.Thread(target=watch)
        watcher.start()
        failed = process.wait()
        ended.set()
        watcher.join()
    assert not failed, "boneseg segment has failed"
    return sum(highest.values())


if __name__ == "__main__":
    main()
