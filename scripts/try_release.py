"""Install a built wheel into clean environments and run it: each Python, base and each extra.

    python -m hatchling build -d dist
    python -m scripts.try_release dist/boneseg-*.whl --python 3.11 --python 3.13 --without train

Needs uv, and pipx for its own row (the extra `release`). Prints a table in Markdown; the exit
status is 1 if anything failed. What is not found on this machine is a row that says so.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
UV = (sys.executable, "-m", "uv")
TINY = ("prepare.height=32", "prepare.width=32", "network.width=4", "network.levels=2")


class FailedError(Exception):
    """A command that did not do what it should; with the end of what it printed."""


@dataclass(frozen=True)
class Installed:
    """A clean environment with boneseg, and a folder to work in."""

    bin: Path
    work: Path

    def run(self, *words: object, status: int = 0) -> str:
        return run(self.bin / str(words[0]), *words[1:], status=status)

    def segment(self, *words: object) -> None:
        script = "import boneseg.bundle.shipped as s; print(s.sample_films())"
        film = Path(self.run("python", "-c", script).strip()) / "hand.png"
        out = self.work / "masks"
        self.run("boneseg", "segment", film, "--out", out, *words)
        if not words and not (out / "hand_mask.png").is_file():
            raise FailedError("segment wrote no mask")

    def train(self, *words: str) -> None:
        settings = [word for setting in TINY for word in ("--set", setting)]
        self.run("boneseg", "simulate", "--out", self.work / "data", "--count", "6", "--size", "64")
        data = (self.work / "data", "--out", self.work / "run")
        self.run("boneseg", "train", *data, "--epochs", "1", *settings, *words)

    def serve(self) -> None:
        call = [self.bin / "boneseg", "serve", "--data", self.work, "--port", "0"]
        with subprocess.Popen(call, stderr=subprocess.PIPE, text=True) as server:
            try:
                assert server.stderr is not None
                line = server.stderr.readline()
                address = line.rpartition(" ")[2].strip()
                if not address.startswith("http") or urlopen(f"{address}livez").status != 200:
                    raise FailedError(line)
            finally:
                server.terminate()

    def has_libraries_of(self, *words: object, status: int) -> None:
        """The call fails for want of a peer or of meshes, not of a library."""
        said = self.run("boneseg", *words, status=status)
        if "pip install" in said or "Traceback" in said:
            raise FailedError(said)


def base(one: Installed) -> None:
    one.segment()
    find = "import importlib.util as u; print(u.find_spec('{}'))"
    if "None" not in one.run("python", "-c", find.format("torch")):
        raise FailedError("the base installation has torch")
    if "None" in one.run("python", "-c", find.format("highdicom")):  # as the manual says for it
        run(*UV, "pip", "install", "--quiet", "--no-deps", "--python", one.bin.parent, "highdicom")
    one.run("python", "-c", "import highdicom.seg, highdicom.sr")


PACS = "import boneseg.pacs.node.node, boneseg.pacs.dicomweb.client"  # no server is at hand
TRIALS: dict[str, Callable[[Installed], None]] = {
    "": base,
    "train": Installed.train,
    "serve": Installed.serve,
    "pacs": lambda one: print(end=one.run("python", "-c", PACS)),
    "simulate": lambda one: one.has_libraries_of(
        *("simulate", "--kind", "skeleton", "--meshes", one.work, "--count", "1"),
        *("--out", one.work / "films"),
        status=2,
    ),
    "cluster": lambda one: one.segment("--cluster", "local"),
    "gdcm": lambda one: print(end=one.run("python", "-c", "import gdcm")),
    "int8": lambda one: print(end=one.run("python", "-c", "import nncf")),
    "all": lambda one: one.train("--precision", "int8"),
}


def run(*words: object, status: int = 0) -> str:
    """Run a command in an empty folder; what it printed. Raises FailedError.

    Modules beside it would be imported instead of those that are installed.
    """
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            list(map(str, words)),
            cwd=empty,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    if done.returncode != status:
        raise FailedError((done.stdout.strip().splitlines() or ["it printed nothing"])[-1])
    return done.stdout


def try_extra(wheel: Path, python: str, extra: str, folder: Path) -> None:
    """Install the wheel with an extra, and run it. Raises FailedError."""
    home = folder / "environment"
    run(*UV, "venv", "--quiet", "--clear", "--python", python, home)
    asked = f"{wheel}[{extra}]" if extra else wheel
    pinned = ("--constraint", ROOT / "constraints.txt")
    run(*UV, "pip", "install", "--quiet", "--python", home, *pinned, asked)
    (work := folder / "work").mkdir()
    installed = Installed(home / "bin", work)
    if installed.run("boneseg", "--version").strip() != version():
        raise FailedError("another version than that of pyproject.toml")
    TRIALS[extra](installed)


def try_runners(wheel: Path, python: str) -> Iterator[tuple[str, Callable[[], str]]]:
    """`uvx` and `pipx run`, each by its name and a call that returns what it printed."""
    yield "uvx", lambda: run(*UV, "tool", "run", "--python", python, "--from", wheel, *VERSION)
    pipx = (sys.executable, "-m", "pipx", "run", "--python", python, "--spec", wheel)
    yield "pipx run", lambda: run(*pipx, *VERSION)


VERSION = ("boneseg", "--version")


def version() -> str:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return str(tomllib.loads(text)["project"]["version"])


def interpreter(python: str) -> tuple[str, str] | None:
    """The path and the exact version of a Python of this machine, by its version or path."""
    call = [*UV, "python", "find", "--no-python-downloads", python]
    path = subprocess.run(call, capture_output=True, text=True, check=False).stdout.strip()
    script = "import platform, sys; print(sys.executable, platform.python_version(), sep='\\n')"
    try:
        path, exact = run(path, "-c", script).splitlines()
    except (FailedError, OSError):  # none, or a stand-in for one that is not chosen
        return None
    return path, exact


def named(extra: str) -> str:
    return f"`boneseg[{extra}]`" if extra else "`boneseg`"


def outcome(trial: Callable[[], object]) -> str:
    started = time.monotonic()
    try:
        trial()
    except FailedError as error:
        return f"FAILED: {error}"
    return f"ran, {time.monotonic() - started:.0f} s"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument(
        "--python", action="append", help=f"version or path; default: {', '.join(PYTHONS)}"
    )
    parser.add_argument("--without", action="append", default=[], help="an extra not to install")
    asked = parser.parse_args()
    wheel, failed = asked.wheel.resolve(), False
    print("| Python | installed as | |\n|---|---|---|")
    for name in asked.python or PYTHONS:
        there = interpreter(name)
        if there is None:
            print(f"| {name} | | not on this machine |", flush=True)
            continue
        path, python = there
        extras = [one for one in TRIALS if one not in asked.without]
        rows: list[tuple[str, Callable[[], object]]] = [
            (named(extra), partial(in_folder, wheel, path, extra)) for extra in extras
        ]
        rows += [(f"`{how} boneseg`", call) for how, call in try_runners(wheel, path)]
        for how, call in rows:
            said = outcome(call)
            failed |= said.startswith("FAILED")
            print(f"| {python} | {how} | {said} |", flush=True)
        for extra in asked.without:
            print(f"| {python} | {named(extra)} | not tried |", flush=True)
    return int(failed)


def in_folder(wheel: Path, python: str, extra: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try_extra(wheel, python, extra, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
