"""Nothing uses the network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from boneseg.bundle.shipped import sample_films
from boneseg.cli.verbs import VERBS
from boneseg.radiograph.discovery import find_radiographs
from tests.support import ROOT

SEGMENT = "from boneseg.cli import main; main()"
# Every socket that Python code uses passes here (PEP 578): what each process reaches for is noted.
# Python runs a module of this name at its start; native code has only the namespace around it.
SITECUSTOMIZE = """
import os, sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.Request"):
        with open(os.environ["REACHED"], "a") as file:
            print(os.getpid(), event, arguments, file=file)
sys.addaudithook(watch)
"""
HERE = ("'127.0.0.1'", "'localhost'", "'::1'", "0.0.0.0", "getaddrinfo (None,")


class Watch:
    """Processes that note the addresses that they reach for."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(SITECUSTOMIZE, encoding="utf-8")
        self._noted = folder / "reached"
        paths = os.pathsep.join([str(folder), *filter(None, sys.path)])
        self._environment = os.environ | {"PYTHONPATH": paths, "REACHED": str(self._noted)}

    def run(self, *call: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            call, env=self._environment, cwd=ROOT, capture_output=True, text=True, check=False
        )

    @property
    def reached(self) -> list[str]:
        """A line for each address: the number of the process, the call and its arguments."""
        return self._noted.read_text("utf-8").splitlines() if self._noted.exists() else []


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return Watch(tmp_path / "watch")


def test_segmenting_opens_no_socket(tmp_path: Path, watch: Watch) -> None:
    film = find_radiographs([sample_films()])[0]
    words = ["segment", str(film), "--out", str(tmp_path / "out")]
    ended = watch.run(sys.executable, "-c", SEGMENT, *words)
    assert ended.returncode == 0, ended.stderr
    assert watch.reached == []


def test_the_watch_sees_a_socket_that_is_opened(watch: Watch) -> None:
    code = "import socket\ntry:\n    socket.create_connection(('127.0.0.1', 9))\n"
    watch.run(sys.executable, "-c", f"{code}except OSError:\n    pass")
    assert any("socket.connect" in one and "('127.0.0.1', 9)" in one for one in watch.reached)


@pytest.mark.slow
def test_every_verb_works_where_there_is_only_loopback(tmp_path: Path, watch: Watch) -> None:
    alone = [shutil.which("unshare") or "", "--map-root-user", "--net"]
    if not alone[0] or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("needs unshare and the right to make a network namespace")
    (tmp_path / "work").mkdir()
    call = [sys.executable, "-m", "tests.support.every_verb", str(tmp_path / "work")]
    ended = watch.run(*alone, *call)
    assert ended.returncode == 0, ended.stderr
    assert set(ended.stdout.splitlines()[-1].split()) == set(VERBS)
    processes = {line.split()[0] for line in watch.reached}
    assert len(processes) >= 3  # the peers of services, `pacs` and `node`
    assert [line for line in watch.reached if not any(one in line for one in HERE)] == []
