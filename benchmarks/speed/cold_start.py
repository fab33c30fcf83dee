"""The time of each stage of a process that segments one film.

    python -m benchmarks.speed.cold_start

`boneseg segment` of a small film with the bundled model, taken apart in a new process each time,
the network already compiled by a run before; beside it, in turn, the command itself and a process
that does nothing but import torch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from benchmarks.common import SPEED, machine, side_by_side, write_section
from boneseg.bundle.shipped import sample_films

STAGES = {
    "the interpreter": "pass",
    "NumPy": "import numpy",
    "pydantic, Typer": "import pydantic, typer",
    "boneseg's modules": "import boneseg.cli, boneseg.inference.batch, boneseg.inference.engine",
    "read the bundle": 'bundle = boneseg.bundle.store.load_bundle("bundled")',
    "import OpenVINO": "import boneseg.inference.backends.openvino as ov; ov.openvino_package()",
    "set it up": "engine = boneseg.inference.engine.Engine(bundle)",
    "read the film": "film = boneseg.radiograph.read.read_radiograph(sys.argv[2])",
    "film check, load the network, segment": "found = engine.find(film)",
    "a second segmentation (no command does this)": "engine.find(film)",
}
MARKED = "\n".join(f"{stage}\nmarks.append(time.monotonic())" for stage in STAGES.values())
PROCESS = "\n".join(
    ("import json, sys, time", "marks = [float(sys.argv[1])]", MARKED, "print(json.dumps(marks))")
)
COMMAND, TORCH = "boneseg segment", "import torch"


def main() -> None:
    asks = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asks.add_argument("--rounds", type=int, default=15)
    asked = asks.parse_args()
    film = min(sample_films().glob("*.png"))
    with tempfile.TemporaryDirectory() as out:
        words = ["segment", str(film), "--out", out]
        calls = {
            COMMAND: ["-c", "from boneseg.cli import main; main()", *words],
            TORCH: ["-c", "import torch"],
        }
        whole = side_by_side(
            {name: lambda call=call: run(call) for name, call in calls.items()}, asked.rounds, 1
        )
    taken = [stages(film) for _ in range(asked.rounds)]
    lines = report([statistics.median(times) for times in zip(*taken, strict=True)], whole)
    print("\n".join(lines))
    write_section("A cold start, by stages", lines, SPEED)


def run(call: list[str]) -> str:
    done = subprocess.run([sys.executable, *call], check=True, capture_output=True, text=True)
    return done.stdout


def stages(film: Path) -> list[float]:
    """Seconds of each stage, in a separate process."""
    marks = json.loads(run(["-c", PROCESS, str(time.monotonic()), str(film)]))
    return [after - before for before, after in pairwise(marks)]


def report(taken: list[float], whole: dict[str, float]) -> list[str]:
    lines = [
        f"Made by `python -m benchmarks.speed.cold_start` on {machine()}: ms, medians; one",
        "film with the bundled model, whose network was compiled by an earlier run.",
        "",
        "| stage | ms |",
        "|---|---|",
    ]
    lines += [f"| {stage} | {1000 * s:.0f} |" for stage, s in zip(STAGES, taken, strict=True)]
    ratio = whole[TORCH] / whole[COMMAND]
    told = ", ".join(f"`{name}` {1000 * s:.0f} ms" for name, s in whole.items())
    return [*lines, "", f"Whole processes: {told} ({ratio:.1f} times)."]


if __name__ == "__main__":
    main()
