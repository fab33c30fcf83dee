"""A fold whose machine is lost is resumed on another, from checkpoints in storage they share.

    python -m benchmarks.scale.folds                  # a folder
    python -m benchmarks.scale.folds --storage s3     # a bucket of moto's server
    python -m benchmarks.scale.folds --lose head      # the whole cluster is lost, then a new one

Two machines as in `benchmarks/scale/machines.py`, and a fold on each. The second machine is killed
when both folds have a checkpoint; the first trains its own fold to the end and then resumes the
other. With `--lose head` the command runs on the second machine, and the first, which holds Ray's
state, is killed when one of three folds is done and the last has a checkpoint: the command ends,
and goes on with --resume on a new cluster. Weights and scores are compared, bit for bit, with those
of one machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.scale.bucket import credentials, s3_server
from benchmarks.scale.common import SMALL, show
from benchmarks.scale.machines import (
    ADDRESS,
    ADDRESSES,
    HEAD,
    OTHER,
    SETTINGS,
    kill,
    network,
    nodes,
    on,
)
from boneseg.simulate import simulate

FOLDS = ("fold-1", "fold-2")
LOST_FOLDS = 3  # where the cluster is lost
WEIGHTS = Path("bundle/weights.safetensors")
CHECKPOINT = "checkpoint.safetensors"
# Left beside the checkpoints, it comes back with the fold that was resumed from them.
WITNESS = "import fsspec, sys\nfor url in sys.argv[1:]:\n    fsspec.open(url, 'wb').open().close()"


@contextmanager
def storage(kind: str, folder: Path) -> Iterator[tuple[str, dict[str, str], Callable[[str], bool]]]:
    """The URL of storage, its environment, and whether it holds a file."""
    if kind == "folder":
        kept = folder / "kept"
        kept.mkdir()
        yield str(kept), {}, lambda name: (kept / name).exists()
        return
    before = ["ip", "netns", "exec", HEAD]
    with s3_server(folder / "requests", ADDRESSES[HEAD], before) as (server, _):
        env = credentials(server)

        def holds(name: str) -> bool:
            log = (folder / "requests").read_text(errors="replace")
            return f'"PUT /hospital/kept/{name}' in log

        yield "s3://hospital/kept", env, holds


def in_head(code: str, *words: str, env: dict[str, str]) -> None:
    """Run Python on the first machine."""
    call = [*on(HEAD), sys.executable, "-c", code, *words]
    subprocess.run(call, check=True, env={**os.environ, **env})


def tasks_at(machine: str) -> int:
    """How many tasks run on a machine."""
    found = subprocess.run(["ip", "netns", "pids", machine], capture_output=True, text=True)
    names = [Path(f"/proc/{pid}/cmdline") for pid in found.stdout.split()]
    return sum(name.exists() and name.read_bytes().startswith(b"ray::_perform") for name in names)


def on_cluster(folder: Path, call: list[str], kind: str) -> dict[str, object]:
    """Run a cross-validation on two machines, of which the second is lost."""
    with network(), storage(kind, folder) as (kept, env, holds), nodes(folder / "ray", env):
        if kind == "s3":
            in_head("import s3fs; s3fs.S3FileSystem().mkdir('hospital')", env=env)
        command = started(HEAD, call, kept, env)
        while not all(holds(f"{fold}/{CHECKPOINT}") for fold in FOLDS):
            assert command.poll() is None
            time.sleep(0.1)
        tasks = {machine: tasks_at(machine) for machine in (HEAD, OTHER)}
        kill(OTHER)
        lost = time.monotonic()
        in_head(WITNESS, *(f"{kept}/{fold}/witness" for fold in FOLDS), env=env)
        assert command.wait() == 0
        return {"tasks": tasks, "seconds_after": round(time.monotonic() - lost, 1)}


def on_two_clusters(folder: Path, out: Path, call: list[str]) -> dict[str, object]:
    """Run a cross-validation whose cluster is lost, and then on another one."""
    last = f"fold-{LOST_FOLDS}/{CHECKPOINT}"
    with network(), storage("folder", folder) as (kept, env, holds):
        with nodes(folder / "ray", env):
            command = started(OTHER, call, kept, env, stderr=subprocess.PIPE)
            while not (holds(last) and records(out)):
                assert command.poll() is None
                time.sleep(0.1)
            done = records(out)
            kill(HEAD)
            lost = time.monotonic()
            _, told = command.communicate()
            seconds = time.monotonic() - lost
        told = [line for line in told.splitlines() if "error" in line or "Traceback" in line]
        kept_files = holds(last)
        with nodes(folder / "ray-again", env):
            assert started(OTHER, [*call, "--resume"], kept, env).wait() == 0
        again = [fold for fold, time in records(out).items() if done.get(fold) != time]
    return {"status": command.returncode, "lines": told, "seconds_after": round(seconds, 1),
            "done_before": sorted(done), "done_again": sorted(again),
            "checkpoint_kept": kept_files}  # fmt: skip


def records(out: Path) -> dict[str, int]:
    """The folds that are done, and when."""
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("fold-*/fold.json")}


def started(
    machine: str, call: list[str], kept: str, env: dict[str, str], stderr: int | None = None
) -> subprocess.Popen[str]:
    """The command on a machine."""
    words = ["--cluster", ADDRESS, "--worker-cores", "1", "--checkpoints", kept]
    return subprocess.Popen(
        [*on(machine), *call, *words],
        env={**os.environ, **SETTINGS, **env},
        stderr=stderr,
        text=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storage", choices=("folder", "s3"), default="folder")
    parser.add_argument("--lose", choices=("other", "head"), default="other")
    parser.add_argument("--epochs", type=int, default=150)
    asked = parser.parse_args()
    settings = (*SMALL, f"run.epochs={asked.epochs}", "run.guard=false", "run.precision=fp32")
    folds = LOST_FOLDS if asked.lose == "head" else len(FOLDS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        there, here = folder / "there", folder / "here"
        simulate(folder / "films", 20, seed=3, size=(64, 64))
        call = [sys.executable, "-m", "boneseg", "crossval", str(folder / "films")]
        call += ["--folds", str(folds)]
        call += [word for setting in settings for word in ("--set", setting)]
        if asked.lose == "head":
            figures = on_two_clusters(folder, there, [*call, "--out", str(there)])
        else:
            figures = on_cluster(folder, [*call, "--out", str(there)], asked.storage)
        one_core = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([*call, "--out", str(here)], check=True, env=one_core)
        files = [Path(f"fold-{number}") / WEIGHTS for number in range(1, folds + 1)]
        equal = all((there / file).read_bytes() == (here / file).read_bytes() for file in files)
        scores = [json.loads((run / "crossval.json").read_text())["mean"] for run in (there, here)]
        resumed = [fold for fold in FOLDS if (there / fold / "witness").exists()]
        show(storage=asked.storage, lose=asked.lose, **figures, resumed_from_storage=resumed,
             weights_equal=equal, scores_equal=scores[0] == scores[1])  # fmt: skip
        assert equal and scores[0] == scores[1]
        assert asked.lose == "head" or len(resumed) == 1


if __name__ == "__main__":
    main()
