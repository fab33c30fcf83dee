"""The ways a folder of films of real size is segmented in `real_size`, and what they cost.

`floor`, `mask` and `overlay` are explained there. The other programs' ways have our network on the
first grid, and their own functions around it. MONAI's: LoadImage, ScaleIntensity, Resize, and
SaveImage (it stores films as columns first, so masks are transposed back). nnU-Net's:
NaturalImage2DIO, ZScoreNormalization, its resampling (order 3, of both classes' probabilities
order 1), argmax, and NaturalImage2DIO again; DICOM, which it does not read as 2-D films, by
pydicom.
"""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from statistics import median

import numpy as np
import pydicom

from benchmarks.common import given_networks
from benchmarks.speed.real_films import SYNTAXES, Decoder, grained
from boneseg._util import runtime
from boneseg.inference.batch import segment_files
from boneseg.inference.engine import MOST, Engine
from boneseg.preprocessing import Floats
from boneseg.radiograph.read import read_radiograph

OURS, PEERS = ("floor", "mask", "overlay"), ("nnU-Net", "MONAI")
FEW = 2  # films for the ways of other programs, and to warm up
WARM = 1
MEMORY = 10 * 2**30  # bytes that the process of a row may take: a way that needs more fails
_TICKS = os.sysconf("SC_CLK_TCK")

# Of a way, medians: seconds by the clock, of processor time, and the floor's share of each. Or an
# error. Of "peaks": MB with the mask alone, and with the overlay.
Figures = dict[str, list[float] | str]


class Folder:
    """A folder of films in one syntax: one film, under many names."""

    def __init__(self, root: Path, name: str, megapixels: float, count: int) -> None:
        """Make the films, unless an earlier call has made them."""
        syntax, values = SYNTAXES[name], grained(megapixels)
        self.root, self.out, films, self.data = root, root / "out", root / "films", root / "frame"
        if not films.exists():
            films.mkdir(parents=True)
            self.out.mkdir()
            first = films / f"0{syntax.suffix}"
            self.data.write_bytes(syntax.save(first, values))
            for number in range(1, count):
                os.link(first, films / f"{number}{syntax.suffix}")
        self.paths = sorted(films.iterdir())
        self.shape = (values.shape[0], values.shape[1])
        self.decode = syntax.decoders[fastest(name)]


class Ways:
    """What takes turns on a folder of films."""

    def __init__(self, folder: Folder) -> None:
        self.folder, self.engine = folder, Engine(at_once=MOST)
        self.preparation = self.engine.bundle.preparation(folder.shape)
        film = read_radiograph(folder.paths[0])
        self.given = given_networks(self.engine, film)
        self.threshold = self.engine.bundle.card.threshold
        self.mask = self.engine.segment(film)

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
        films = np.ascontiguousarray(np.broadcast_to(grid, self.given[0][1].shape))
        found: Floats = self.engine._network(films).reshape(-1, *grid.shape).mean(axis=0)
        return found

    def floor(self, number: int) -> None:
        self.folder.decode(self.folder.data.read_bytes(), self.folder.shape)
        for network, films in self.given:
            network(films)
        packed = zlib.compress(np.packbits(self.mask, axis=1), 1)  # all of a PNG but its chunks
        (self.folder.out / f"{number}_floor.png").write_bytes(packed)

    def nnunet(self, number: int) -> None:
        from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
        from nnunetv2.preprocessing.normalization import default_normalization_schemes as schemes
        from nnunetv2.preprocessing.resampling.default_resampling import (
            resample_data_or_seg_to_shape as resampled,
        )

        path, images = self.folder.paths[number], NaturalImage2DIO()
        if path.suffix == ".dcm":
            film = pydicom.dcmread(path).pixel_array[None, None].astype(np.float32)
        else:
            film, _ = images.read_images([str(path)])
        film = schemes.ZScoreNormalization(False, {}).run(film[0])[None]
        size, spacing = (1, self.preparation.height, self.preparation.width), (999, 1, 1)
        plan = {"is_seg": False, "order_z": 0, "force_separate_z": None}  # as its plans have it
        small = resampled(film, size, spacing, spacing, order=3, **plan)
        bone = self.probability(np.asarray(small[0, 0], np.float32))
        both, size = np.stack([1 - bone, bone])[:, None], (1, *self.folder.shape)
        both = resampled(both, size, spacing, spacing, order=1, **plan)
        mask = np.asarray(both).argmax(0)
        images.write_seg(mask, str(self.folder.out / f"{number}_nnunet.png"), {"spacing": spacing})

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


def measured(
    root: Path, name: str, megapixels: float, names: Sequence[str], rounds: int, count: int
) -> Figures:
    """The figures of each way of one size and syntax; of ours with the overlay, peak memory too.

    A way of another program that fails has its error instead.
    """
    folder = Folder(root, name, megapixels, count)
    found: Figures = dict(in_turn(Ways(folder), names, rounds, count))
    if "overlay" in names:
        found["peaks"] = [peak(folder, formats) for formats in ("mask", "mask,overlay")]
    return found


def in_turn(ways: Ways, names: Sequence[str], rounds: int, count: int) -> Figures:
    """What a film costs each way, and its share of the floor, of which the first way is."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    failed: Figures = {}
    for turn in range(WARM + rounds):
        for name in list(times):
            films = count if turn >= WARM and "mask" in names else FEW
            ways.clear()
            clock, core = time.perf_counter(), processor_time()
            try:
                ways.run(name, films)
            except Exception as error:  # another program's, on a syntax that it does not read
                if name in OURS:
                    raise
                failed[name] = f"{type(error).__name__}: {error}"
                del times[name]
                continue
            if turn >= WARM:
                spent = time.perf_counter() - clock, processor_time() - core
                times[name].append((spent[0] / films, spent[1] / films))
    costs = {name: [median(one) for one in zip(*all_, strict=True)] for name, all_ in times.items()}
    floor = costs["floor"]
    return failed | {
        name: [*cost, *(least / own for least, own in zip(floor, cost, strict=True))]
        for name, cost in costs.items()
    }


@cache
def fastest(name: str) -> str:
    """The name of the decoder of a syntax that takes the least processor time."""
    syntax, values = SYNTAXES[name], grained(1)
    data, shape = syntax.encode(values), (values.shape[0], values.shape[1])

    def cost(decode: Decoder) -> float:
        started = time.process_time()
        decode(data, shape)
        return time.process_time() - started

    decoders = syntax.decoders
    return min(decoders, key=lambda name: min(cost(decoders[name]) for _ in range(2)))


def prepare_process() -> None:
    """Set up a process as `boneseg segment` does."""
    runtime.start()
    runtime.share_freed_memory()
    runtime.bound_memory(MEMORY)
    gc.freeze()  # modules that only the benchmark imports
    warnings.filterwarnings("ignore", module="monai")  # a film has no orientation in a patient
    logging.disable()  # MONAI reports each time that it has no GPU to decode on


# -- processes ------------------------------------------------------------------------------------


def descendants(process: int) -> Iterator[int]:
    """A process and all below it."""
    yield process
    try:
        threads = list(Path(f"/proc/{process}/task").iterdir())
    except OSError:  # it has just ended
        return
    for thread in threads:
        try:
            below = (thread / "children").read_text().split()
        except OSError:
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
    words = ["--out", str(folder.root / "peak"), "--format", formats]
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
