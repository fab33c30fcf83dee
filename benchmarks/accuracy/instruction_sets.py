"""The bundled model with each instruction set of the CPU: `results/bundled-model.md`.

    python -m benchmarks.accuracy.instruction_sets --data ../shared/data

oneDNN, with which OpenVINO and PyTorch compute, keeps to an instruction set that ONEDNN_MAX_CPU_ISA
names; each runs in a process of its own, without cached networks. Machines without bfloat16 compute
in float32, which OpenVINO is told where it is limited to the instructions of such a machine. Dice
is that of simulated films, and on real films that between a mask and the one of this machine as
it is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import BUNDLED_MODEL, machine, write_section
from boneseg.dataset.load import read_films
from boneseg.dataset.open import open_dataset
from boneseg.inference.backends.openvino import OpenVino
from boneseg.inference.engine import Engine
from boneseg.radiograph.read import read_radiograph
from boneseg.simulate import simulate

LARGEST = 0.002  # difference of Dice that is allowed
SETS = ("legs", "spine", "knee-femur", "knee-tibia")


@dataclass(frozen=True)
class Kind:
    """How a process computes. limit: the value of ONEDNN_MAX_CPU_ISA."""

    name: str
    limit: str = "DEFAULT"
    backend: str = "openvino"
    float32: bool = False
    flag: str = "avx2"  # of /proc/cpuinfo, that the machine needs


KINDS = (
    Kind("OpenVINO, as this machine is"),
    Kind("OpenVINO, AMX", "AVX512_CORE_AMX", flag="amx_bf16"),
    Kind("OpenVINO, AVX-512 with bfloat16", "AVX512_CORE_BF16", flag="avx512_bf16"),
    Kind("OpenVINO, AVX-512 in float32", "AVX512_CORE", float32=True, flag="avx512f"),
    Kind("OpenVINO, AVX2 in float32", "AVX2", float32=True),
    Kind("PyTorch, as this machine is", backend="torch"),
    Kind("PyTorch, AVX2", "AVX2", "torch"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=None, help="labelled sets (default: none)")
    parser.add_argument("--simulated", type=int, default=24)
    parser.add_argument("--every", type=int, default=10, help="take each so-manieth real film")
    parser.add_argument("--kind", type=int, default=None, help="compute this one kind only")
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--write", action="store_true", help="write the page of results")
    asked = parser.parse_args()
    if asked.kind is not None:
        segment(KINDS[asked.kind], asked.work)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        simulate(work / "simulated", asked.simulated, seed=1_000_000)
        real = real_films(asked.data, asked.every) if asked.data else []
        (work / "real.json").write_text(json.dumps(list(map(str, real))))
        lines, differences = compared(work, len(real), asked.simulated)
    print(*lines, sep="\n")
    if asked.write:
        write_section("Instruction sets", lines, BUNDLED_MODEL)
    print(f"largest difference of Dice: {max(differences):.4f}")
    return int(max(differences) > LARGEST)


def real_films(data: Path, every: int) -> list[Path]:
    return [case.image for name in SETS for case in open_dataset(data / name).cases[::every]]


def compared(work: Path, real: int, simulated: int) -> tuple[list[str], list[float]]:
    """The table of all kinds that this machine can compute, and their differences of Dice."""
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    lines = [
        f"Made by `python -m benchmarks.accuracy.instruction_sets`, on {machine()}:",
        f"{simulated} simulated films, and {real} real ones. Dice on real films is between the",
        "mask and the one of the first row.",
        "",
        "| computed by | Dice, simulated | difference | Dice, real films: mean | least |",
        "|---|---|---|---|---|",
    ]
    differences = []
    truth = [film.mask for film in read_films(open_dataset(work / "simulated").cases)]
    first: list[NDArray[np.bool_]] = []
    base = 0.0
    for number, kind in enumerate(KINDS):
        if kind.flag not in flags:
            lines.append(f"| {kind.name} | this machine has none | | | |")
            continue
        found = masks(number, kind, work)
        scores = [dice(*pair) for pair in zip(found, truth, strict=False)]
        mean = float(np.mean(scores))
        if not first:
            first, base = found, mean
        agreed = [
            dice(*pair) for pair in zip(found[len(truth) :], first[len(truth) :], strict=True)
        ]
        differences += [abs(mean - base), 1 - float(np.mean(agreed or [1]))]
        among = f"{np.mean(agreed):.4f} | {min(agreed):.4f}" if agreed else "– | –"
        lines.append(f"| {kind.name} | {mean:.4f} | {mean - base:+.4f} | {among} |")
    return lines, differences


def masks(number: int, kind: Kind, work: Path) -> list[NDArray[np.bool_]]:
    """The masks of a process that computes in this way: of simulated films, then of real ones."""
    limits = {"ONEDNN_MAX_CPU_ISA": kind.limit, "XDG_CACHE_HOME": str(work / "cache" / str(number))}
    call = [sys.executable, "-m", "benchmarks.accuracy.instruction_sets", "--kind", str(number)]
    subprocess.run([*call, "--work", str(work)], env=os.environ | limits, check=True)
    with np.load(work / "masks.npz") as saved:
        return [saved[name].astype(bool) for name in saved.files]


def segment(kind: Kind, work: Path) -> None:
    """Segment all films in this process."""
    engine = Engine(backend=kind.backend)
    if kind.float32:
        for network in (engine._network, engine._outlines):
            assert isinstance(network, OpenVino)
            network._settings["INFERENCE_PRECISION_HINT"] = "f32"
    films = [case.image for case in open_dataset(work / "simulated").cases]
    films += map(Path, json.loads((work / "real.json").read_text()))
    found = [engine.segment(read_radiograph(path)) for path in films]
    np.savez(work / "masks.npz", *found)


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / max(1, int(one.sum() + other.sum())))


if __name__ == "__main__":
    sys.exit(main())
