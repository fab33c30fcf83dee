"""Nothing uses the network."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from boneseg.bundle.shipped import sample_films
from boneseg.radiograph.discovery import find_radiographs

SEGMENT = "from boneseg.cli import main; main()"
# Every socket that Python code opens passes here (PEP 578).
WATCHED = """
import sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.Request"):
        print("REACHED FOR", event, arguments, flush=True)
sys.addaudithook(watch)
"""


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    film = find_radiographs([sample_films()])[0]
    return ["segment", str(film), "--out", str(tmp_path / "out")]


def test_segmenting_opens_no_socket(words: list[str]) -> None:
    call = [sys.executable, "-c", WATCHED + SEGMENT, *words]
    ended = subprocess.run(call, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "REACHED FOR" not in ended.stdout + ended.stderr


def test_the_watch_sees_a_socket_that_is_opened() -> None:
    code = WATCHED + "import socket\ntry:\n    socket.create_connection(('127.0.0.1', 9))\n"
    code += "except OSError:\n    pass"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "REACHED FOR socket.connect" in ended.stdout


def test_segmenting_works_in_a_namespace_without_a_network(words: list[str]) -> None:
    alone = [shutil.which("unshare") or "", "--map-root-user", "--net"]
    if not alone[0] or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("needs unshare and the right to make a network namespace")
    call = [*alone, sys.executable, "-c", SEGMENT, *words]
    ended = subprocess.run(call, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert list(Path(words[-1]).glob("*_mask.png"))
