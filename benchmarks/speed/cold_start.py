"""The time of each stage of a process that segments one film, and its ratio to a floor.

    python -m benchmarks.speed.cold_start

`boneseg segment` of a small film with the bundled model, taken apart in a new process each time,
the network already compiled by a run before; beside it, in turn, the command itself, a process that
does nothing but import torch, and the floor: Python, NumPy, Pillow and OpenVINO alone, which decode
the film, write a mask, restore the compiled network and run it once on each grid. The ratios of
whole processes are by the clock and by processor time; on a busy machine only the latter says much.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

from benchmarks.common import SPEED, given_networks, machine, side_by_side, write_section
from boneseg.bundle.card import ONNX
from boneseg.bundle.shipped import sample_films
from boneseg.bundle.store import load_bundle
from boneseg.inference.backends.base import ANY
from boneseg.inference.backends.openvino import compile_network, openvino_core
from boneseg.inference.engine import Engine
from boneseg.radiograph.read import read_radiograph

STAGES = {
    "the interpreter": "pass",
    "set up the process": "from boneseg._util import runtime; runtime.start(); "
    "runtime.omit_developers_modules(); runtime.calculate_in_one_thread()",
    "the command line": "import boneseg.cli; boneseg.cli.verb('segment')",
    "NumPy": "import numpy",
    "Pillow": "import PIL.Image, PIL.PngImagePlugin",
    "boneseg's modules": "import boneseg.inference.batch, boneseg.inference.engine",
    "read the bundle": 'bundle = boneseg.bundle.store.load_bundle("bundled")',
    "import OpenVINO": "import boneseg.inference.backends.openvino as ov; ov.openvino_package()",
    "set it up": "engine = boneseg.inference.engine.Engine(bundle)",
    "read the film": "film = boneseg.radiograph.read.read_radiograph(sys.argv[2])",
    "load the network, segment": "found = engine.find(film)",
    "film check": "found.likeness",
    "a second segmentation (no command does this)": "engine.find(film)",
}
MARKED = "\n".join(f"{stage}\nmarks.append(time.monotonic())" for stage in STAGES.values())
PROCESS = "\n".join(
    (
        "import json, sys, time; marks = [float(sys.argv[1])]",
        MARKED,
        "print(json.dumps(marks))",
    )
)
BARE = """
import gc, os, sys
os.environ["OPENBLAS_NUM_THREADS"] = "1"
gc.set_threshold(10_000)
sys.modules["openvino.tools.ovc"] = sys.modules["openvino_telemetry"] = None  # unused, and slow
import numpy as np
import openvino
from PIL import Image
film = np.asarray(Image.open(sys.argv[1]).convert("L"))
Image.fromarray(np.uint8(film > 127) * 255).save(sys.argv[2])
core = openvino.Core()
compiled = np.fromfile(sys.argv[3], np.uint8)
network = core.import_model(openvino.Tensor(compiled, shared_memory=True), "CPU")
for shape in sys.argv[4:]:
    network(np.zeros([int(side) for side in shape.split("x")], np.float32))
gc.freeze()
"""
COMMAND, FLOOR, TORCH = "boneseg segment", "floor", "import torch"


def main() -> None:
    asks = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asks.add_argument("--rounds", type=int, default=15)
    asked = asks.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled
    film = min(sample_films().glob("*.png"))
    with tempfile.TemporaryDirectory() as out:
        network, shapes = compiled_network(film, Path(out))
        words = ["segment", str(film), "--out", out]
        calls = {
            COMMAND: ["-c", "from boneseg.cli import main; main()", *words],
            FLOOR: ["-c", BARE, str(film), str(Path(out, "mask.png")), str(network), *shapes],
            TORCH: ["-c", "import torch"],
        }
        spent: dict[str, list[float]] = {name: [] for name in calls}

        def run_counted(name: str) -> None:
            before = processor_time()
            run(calls[name])
            spent[name].append(processor_time() - before)

        whole = side_by_side({name: partial(run_counted, name) for name in calls}, asked.rounds, 1)
    taken = [stages(film) for _ in range(asked.rounds)]
    cores = {name: statistics.median(times) for name, times in spent.items()}
    lines = report([statistics.median(times) for times in zip(*taken, strict=True)], whole, cores)
    print("\n".join(lines))
    write_section("A cold start, by stages", lines, SPEED)


def compiled_network(film: Path, folder: Path) -> tuple[Path, list[str]]:
    """Write the bundled network, compiled for films of any size, as OpenVINO exports it.

    With the shape of what it is given for each pass over a small film.
    """
    bundle = load_bundle("bundled")
    shape, settings = (ANY, 1, ANY, ANY), {"PERFORMANCE_HINT": "LATENCY"}
    compiled = compile_network(openvino_core(), bundle.path / ONNX, shape, settings)
    path = folder / "network.blob"
    path.write_bytes(compiled.export_model().read())
    given = given_networks(Engine(bundle), read_radiograph(film))
    return path, ["x".join(map(str, films.shape)) for _, films in given]


def run(call: list[str]) -> str:
    done = subprocess.run([sys.executable, *call], check=True, capture_output=True, text=True)
    return done.stdout


def processor_time() -> float:
    """Seconds of processor time of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def stages(film: Path) -> list[float]:
    """Seconds of each stage, in a separate process."""
    marks = json.loads(run(["-c", PROCESS, str(time.monotonic()), str(film)]))
    return [after - before for before, after in pairwise(marks)]


def report(taken: list[float], whole: dict[str, float], cores: dict[str, float]) -> list[str]:
    lines = [
        f"Made by `python -m benchmarks.speed.cold_start` on {machine()}: ms, medians; one",
        "film with the bundled model, whose network was compiled by an earlier run.",
        "",
        "| stage | ms |",
        "|---|---|",
    ]
    lines += [f"| {stage} | {1000 * s:.0f} |" for stage, s in zip(STAGES, taken, strict=True)]
    return [
        *lines,
        "",
        f"Whole processes: {compared(whole)}.",
        f"By processor time: {compared(cores)}.",
    ]


def compared(times: dict[str, float]) -> str:
    told = ", ".join(f"`{name}` {1000 * s:.0f} ms" for name, s in times.items())
    ratios = (
        f"{times[COMMAND] / times[FLOOR]:.2f} times the floor",
        f"{times[COMMAND] / times[TORCH]:.2f} times `{TORCH}`",
    )
    return f"{told}: {' and '.join(ratios)}"


if __name__ == "__main__":
    main()
