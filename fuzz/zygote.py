"""A process that has imported everything, and forks a child for each call of boneseg.

    with Zygote() as zygote:
        pid = zygote.start(["segment", "films", "--out", "out"], log)
        zygote.wait(pid)                 # the exit status; negative: the signal

A call therefore starts in milliseconds, so that a kill at a random moment hits its work and not its
imports. Each child leads a session of its own, so that it can be killed with all that it started.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

MODULES = (
    *("boneseg.cli.verbs", "boneseg.cli.segment", "boneseg.cli.training", "boneseg.cli.simulation"),
    *("boneseg.cli.services", "boneseg.inference.batch", "boneseg.training.train"),
    *("boneseg.experiments.crossval", "boneseg.experiments.tune", "boneseg.dataset.convert"),
    *("boneseg.simulate.generate", "boneseg.pacs.node.node", "boneseg.server.serve", "optuna"),
    *("boneseg.bundle.onnx", "onnxscript", "uvicorn", "fastapi", "highdicom", "pycocotools.mask"),
)


class Zygote:
    """The parent's handle."""

    def __init__(self, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **env},
        )
        assert self._ask({}) == "ready"
        self._ended: dict[int, int] = {}

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, request: dict[str, object]) -> object:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, words: Sequence[str], log: Path) -> int:
        """Start `boneseg WORDS`; what it writes is added to `log`. Returns its process group."""
        return int(str(self._ask({"words": list(words), "log": str(log)})))

    def wait(self, pid: int) -> int:
        """Wait for the end of a call; its exit status."""
        return int(str(self._ask({"wait": pid})))

    def poll(self, pid: int) -> int | None:
        """The exit status of a call, None while it runs."""
        if pid not in self._ended:
            status = self._ask({"poll": pid})
            if status is None:
                return None
            self._ended[pid] = int(str(status))
        return self._ended[pid]


def _serve() -> None:
    for name in MODULES:
        importlib.import_module(name)
    from boneseg.training import loop

    loop.SAVE_EVERY = 0.0  # a checkpoint after each check, though the runs take a second
    _warm()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        answer: object = "ready"
        if "words" in request:
            answer = _forked(request["words"], request["log"])
        elif "wait" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
        elif "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _warm() -> None:
    """Let PyTorch export a network once, in a child: boneseg keeps the graph of an architecture.

    The exporter starts threads, and so this process must not call it.
    """
    from boneseg.bundle import onnx

    with tempfile.TemporaryDirectory() as folder:
        graphs = Path(folder) / "graphs.json"
        pid = os.fork()
        if not pid:
            try:
                _export(Path(folder) / "model.onnx")
                graphs.write_text(json.dumps({key: one.hex() for key, one in onnx._graphs.items()}))
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        for key, one in json.loads(graphs.read_text()).items():
            onnx._graphs[key] = bytes.fromhex(one)


def _export(path: Path) -> None:
    from kill import SMALL

    from boneseg.bundle.onnx import export
    from boneseg.networks import build
    from boneseg.recipes.builtin import BUILT_IN

    recipe = BUILT_IN["default"].with_settings(SMALL).settle([(120, 90)])
    shape = (1, recipe.prepare.height, recipe.prepare.width)
    export(build(recipe.network), path, shape, fitted=False)


def _forked(words: list[str], log: str) -> int:
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, f"{threads} threads: a fork could hang"
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    sys.argv = ["boneseg", *words]
    try:
        from boneseg.cli import main

        main()
    except SystemExit as ended:
        sys.stdout.flush()
        os._exit(int(ended.code or 0))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(99)
    os._exit(0)


if __name__ == "__main__":
    _serve()
