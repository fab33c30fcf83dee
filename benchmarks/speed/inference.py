"""One network, every engine: latency, films per second, and share of the machine's peak.

    python -m benchmarks.speed.inference [--quick] [--json]

The default network with the same weights in our engine (OpenVINO; bfloat16 where the CPU has it,
and 8-bit integers), PyTorch eager (float32 and bfloat16, channels last), torch.compile (one film of
512 squared), and ONNX Runtime; at 256, 512 and 1024 squared, one film and eight at a time, in turn.
The peak is that of a matrix product, which takes its turns with them. Cold is a whole process:
start, load, one film, end. `--quick` takes 512 squared alone.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import (
    MATRIX,
    SPEED,
    compile_for_each_size,
    default_at,
    gflop,
    machine,
    product,
    side_by_side,
    tflops,
    untrained,
    write_section,
)
from boneseg.bundle.store import Bundle, load_network, sign
from boneseg.dataset.load import read_films
from boneseg.dataset.open import open_dataset
from boneseg.inference.backends.onnxruntime import OnnxRuntime
from boneseg.inference.backends.openvino import OpenVino
from boneseg.simulate import simulate
from boneseg.training.quantise import write_int8

OURS, INT8 = "boneseg (OpenVINO)", "boneseg, int8"
KINDS = (torch.float32, torch.bfloat16)
COLD_TORCH = """
import sys, numpy, torch
from pathlib import Path
from boneseg.bundle.store import load_bundle, load_network
from boneseg.radiograph.read import read_radiograph
from boneseg.masks.formats.png import write_mask
bundle = load_bundle(Path(sys.argv[1]))
film = read_radiograph(sys.argv[2])
prepared, place = bundle.preparation(film.pixels.shape).film(film.pixels)
with torch.inference_mode():
    found = load_network(bundle)(torch.from_numpy(prepared[None, None])).sigmoid()
write_mask(Path(sys.argv[3]) / "torch_mask.png", found[0, 0].numpy() > 0.5)
"""


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--quick", action="store_true", help="512 squared alone, few rounds")
    words.add_argument("--json", action="store_true")
    words.add_argument("--compile", action="store_true", help="torch.compile, too: a minute more")
    asked = words.parse_args()
    compile_for_each_size()
    sizes = (512,) if asked.quick else (256, 512, 1024)
    rounds = 5 if asked.quick else 15
    with tempfile.TemporaryDirectory() as folder:
        bundle = untrained(default_at(512, 512), Path(folder) / "bundle")
        network = load_network(bundle)
        small = quantised(bundle, Path(folder))
        rows = [
            row(bundle, small, network, size, batch, rounds, asked.compile and batch == 1)
            for size in sizes
            for batch in ((1,) if asked.quick else (1, 8))
        ]
        cold = cold_starts(bundle, Path(folder))
    found = {
        "machine": machine(),
        "rows": rows,
        "cold_seconds": cold,
    }
    if asked.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(report(found)))
    if not asked.quick:
        write_section("Inference, compared", report(found), SPEED)


def quantised(bundle: Bundle, folder: Path) -> Bundle:
    """The bundle with its network in 8-bit integers, scaled on phantom films."""
    simulate(folder / "films", 12, size=(512, 512))
    copy = folder / "int8"
    shutil.copytree(bundle.path, copy)
    write_int8(copy, bundle, read_films(open_dataset(folder / "films").cases))
    return Bundle(copy, sign(copy, bundle.card))


def row(
    bundle: Bundle,
    small: Bundle,
    network: torch.nn.Module,
    size: int,
    batch: int,
    rounds: int,
    compiled: bool,
) -> dict[str, Any]:
    """Seconds per batch of every engine, and our share of the peak."""
    films = np.random.default_rng(0).normal(size=(batch, 1, size, size)).astype(np.float32)
    runs = engines(bundle, films, compiled and size == 512)
    runs |= {INT8: partial(OpenVino(small), films)}
    runs |= {str(kind): product(kind) for kind in KINDS}
    taken = side_by_side(runs, max(3, rounds // max(1, size * size * batch // 2**20)))
    work = gflop(network, size, size) * batch
    peaks = {str(kind)[6:]: tflops(taken.pop(str(kind))) for kind in KINDS}
    reached = work / 1000 / taken[OURS]  # TFLOP a second
    best = min(value for name, value in taken.items() if name.startswith("PyTorch"))
    return {
        "size": size,
        "batch": batch,
        "gflop": work,
        "seconds": taken,
        "against_torch": best / taken[OURS],
        "int8_against_bf16": taken[OURS] / taken[INT8],
        "peak_tflops": peaks,
        "share_of_bf16_peak": reached / peaks["bfloat16"],
        "share_of_fp32_peak": reached / peaks["float32"],
    }


def engines(bundle: Bundle, films: np.ndarray, compiled: bool) -> dict[str, Callable[[], object]]:
    """Each engine as a call that finds the probability of bone on the films."""
    ours, runtime = OpenVino(bundle), OnnxRuntime(bundle)
    ours.prepare(films.shape)

    def eager(kind: torch.dtype, compile_: bool = False) -> Callable[[], object]:
        own: Any = load_network(bundle).to(kind).to(memory_format=torch.channels_last)
        own = torch.compile(own) if compile_ else own
        given = torch.from_numpy(films).to(kind).to(memory_format=torch.channels_last)

        def run() -> object:
            with torch.inference_mode():
                return own(given).float().sigmoid().numpy()

        return run

    runs: dict[str, Callable[[], object]] = {
        OURS: lambda: ours(films),
        "PyTorch fp32": eager(torch.float32),
        "PyTorch bf16": eager(torch.bfloat16),
        "ONNX Runtime fp32": lambda: runtime(films),
    }
    if compiled:
        runs["PyTorch fp32, compiled"] = eager(torch.float32, True)
        runs["PyTorch bf16, compiled"] = eager(torch.bfloat16, True)
    return runs


def cold_starts(bundle: Bundle, folder: Path) -> dict[str, float]:
    """Seconds of a whole process that segments one film of 512 x 512."""
    from PIL import Image

    grey = np.random.default_rng(0).integers(0, 255, (512, 512), np.uint8)
    Image.fromarray(grey).save(folder / "film.png")
    film, out = str(folder / "film.png"), str(folder)
    ours = "from boneseg.cli import main; main()"
    words = ["segment", film, "--model", str(bundle.path), "--out", str(folder / "out")]
    calls = {
        OURS: [sys.executable, "-c", ours, *words],
        "PyTorch": [sys.executable, "-c", COLD_TORCH, str(bundle.path), film, out],
        "import torch": [sys.executable, "-c", "import torch"],
    }

    def runner(call: list[str]) -> Callable[[], object]:
        return lambda: subprocess.run(call, check=True, capture_output=True)

    return side_by_side({name: runner(call) for name, call in calls.items()}, 5, warm=1)


def report(found: dict[str, Any]) -> list[str]:
    names = list(max((one["seconds"] for one in found["rows"]), key=len))
    cold = found["cold_seconds"]
    lines = [
        f"Made by `python -m benchmarks.speed.inference` on {found['machine']}. ms a batch,",
        f"the median of runs in turn; peak: of matrix products of {MATRIX} squared, which take",
        "their turns.",
        "",
        f"| size | films | GFLOP | {' | '.join(names)} | PyTorch's best : ours "
        "| ours : int8 | bf16 peak, TFLOP/s | share of it |",
        f"|{'---|' * (len(names) + 7)}",
    ]
    for one in found["rows"]:
        taken = one["seconds"]
        times = " | ".join(f"{1000 * taken[name]:.0f}" if name in taken else "" for name in names)
        lines.append(
            f"| {one['size']} | {one['batch']} | {one['gflop']:.0f} | {times} "
            f"| {one['against_torch']:.1f} | {one['int8_against_bf16']:.1f} "
            f"| {one['peak_tflops']['bfloat16']:.2f} | {one['share_of_bf16_peak']:.0%} |"
        )
    lines += [
        "",
        "A whole process for one film: "
        + ", ".join(f"{name} {taken:.2f} s" for name, taken in cold.items())
        + f" (PyTorch : ours {cold['PyTorch'] / cold[OURS]:.1f}).",
    ]
    return lines


if __name__ == "__main__":
    main()
