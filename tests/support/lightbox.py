"""A light box for tests: its folder filled with films, and served by the real command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from boneseg.bundle.shipped import sample_films

COMMAND = [sys.executable, "-c", "from boneseg.cli import main; main()"]


def fill(folder: Path, *names: str) -> Path:
    """A dataset of the sample films of these names, as yet without masks."""
    (folder / "images").mkdir(parents=True)
    for name in names:
        film = Image.open(sample_films() / f"{name}.png")
        film.thumbnail((300, 300))
        film.save(folder / "images" / f"{name}.png")
    return folder


@contextmanager
def served(*words: object) -> Iterator[str]:
    """The address of `boneseg serve` with these words; it is ended afterwards."""
    call = [*COMMAND, "serve", "--port", "0", *map(str, words)]
    env = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True, env=env) as server:
        try:
            yield address_of(server)
        finally:
            server.terminate()
            server.communicate(timeout=30)


def address_of(server: subprocess.Popen[str]) -> str:
    """What a server that was just started logs as its address, on its first line."""
    assert server.stderr is not None
    line = server.stderr.readline()
    _, found, address = line.partition(" INFO the light box: ")
    assert found, line
    return address.strip()


def refused(*words: object) -> subprocess.CompletedProcess[str]:
    """What `boneseg serve` says where it does not start."""
    port = () if "--port" in words else ("--port", 0)  # the usual one may be another test's
    call = [*COMMAND, "serve", *map(str, (*words, *port))]
    return subprocess.run(call, capture_output=True, text=True, timeout=90, check=False)


def png(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path
