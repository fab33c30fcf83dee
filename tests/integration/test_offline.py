"""Nothing uses the network, and no library keeps a record of its use."""

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
# With any of these, libraries do not report their use, or do so as a test.
AUTOMATED = (
    *("CI", "GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD", "CIRCLECI", "TRAVIS", "JENKINS_URL"),
    *("CODEBUILD_BUILD_ID", "BUILDKITE", "TEAMCITY_VERSION", "APPVEYOR", "BITBUCKET_BUILD_NUMBER"),
    *("ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "DO_NOT_TRACK", "XDG_CACHE_HOME"),
)
HERE = ("'127.0.0.1'", "'localhost'", "'::1'", "0.0.0.0", "getaddrinfo (None,")


class Watch:
    """Processes of a user with an empty home, which note the addresses that they reach for."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(SITECUSTOMIZE, encoding="utf-8")
        self._noted = folder / "reached"
        paths = os.pathsep.join([str(folder), *filter(None, sys.path)])
        self._home = folder / "home"
        self._home.mkdir()
        own = {"PYTHONPATH": paths, "REACHED": str(self._noted), "HOME": str(self._home)}
        kept = {name: value for name, value in os.environ.items() if name not in AUTOMATED}
        self._environment = kept | own

    def run(self, *call: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            call, env=self._environment, cwd=ROOT, capture_output=True, text=True, check=False
        )

    @property
    def reached(self) -> list[str]:
        """A line for each address: the number of the process, the call and its arguments."""
        return self._noted.read_text("utf-8").splitlines() if self._noted.exists() else []

    @property
    def left(self) -> set[str]:
        """The files in the home folder, except those of boneseg's cache."""
        files = {path.relative_to(self._home) for path in self._home.rglob("*") if path.is_file()}
        return {str(path) for path in files if path.parts[:2] != (".cache", "boneseg")}


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return Watch(tmp_path / "watch")


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "torch"])
def test_segmenting_opens_no_socket(tmp_path: Path, watch: Watch, engine: str) -> None:
    film = find_radiographs([sample_films()])[0]
    words = ["segment", str(film), "--out", str(tmp_path / "out"), "--engine", engine]
    ended = watch.run(sys.executable, "-c", SEGMENT, *words)
    assert ended.returncode == 0, ended.stderr
    assert watch.reached == []
    assert watch.left == set()


def test_onnxruntime_alone_would_keep_a_record(watch: Watch) -> None:
    """Else the test above shows nothing."""
    ended = watch.run(sys.executable, "-c", "import onnxruntime; print(onnxruntime.__version__)")
    if tuple(map(int, ended.stdout.split(".")[:2])) < (1, 29):
        pytest.skip("this onnxruntime has no telemetry")
    assert watch.left


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
    assert watch.left == set()
