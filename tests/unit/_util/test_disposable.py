"""A child process that may crash, hang or run out of memory without harm to its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from boneseg._util.disposable import DiedError, Disposable

MOST = 100


@pytest.fixture(scope="module")
def child() -> Iterator[Disposable]:
    """One that nothing bad is asked of."""
    child = Disposable("tests.support.children:serve", quiet=True)
    yield child
    child.end()


@pytest.fixture
def victim() -> Iterator[Disposable]:
    child = Disposable("tests.support.children:serve", quiet=True)
    yield child
    child.end()


def ask(child: Disposable, word: bytes, seconds: float = 30) -> bytes:
    return bytes(child.ask([word], seconds, MOST))


def test_it_answers_one_request_after_the_other(child):
    for word in (b"one", b"", b"\0\n\xff"):
        assert ask(child, word) == b"echo " + word
    assert bytes(child.ask([b"in", memoryview(b"parts")], 30, MOST)) == b"echo inparts"
    assert child.is_alive()


def test_a_reply_is_written_in_place(child):
    assert ask(child, b"write") == b"put in place"
    assert ask(child, b"one") == b"echo one"


def test_messages_go_through_pipes_where_no_memory_is_shared(monkeypatch):
    monkeypatch.setattr("boneseg._util.disposable.SharedMemory.create", lambda: None)
    child = Disposable("tests.support.children:serve", quiet=True)
    assert ask(child, b"write") == b"put in place"
    assert ask(child, b"one") == b"echo one"
    child.end()


def test_its_death_is_reported_with_its_signal(victim):
    with pytest.raises(DiedError, match=r"^ended the process that read it \(SIGABRT\)$") as caught:
        ask(victim, b"abort")
    assert not caught.value.late
    assert not victim.is_alive()
    with pytest.raises(DiedError):
        ask(victim, b"again")


def test_it_is_killed_when_its_time_is_up(victim):
    started = time.monotonic()
    with pytest.raises(DiedError, match=r"^took more than 0\.3 s$") as caught:
        ask(victim, b"sleep", 0.3)
    assert caught.value.late
    assert time.monotonic() - started < 10
    assert not victim.is_alive()


def test_it_is_killed_when_its_cpu_time_is_up(victim):
    with pytest.raises(DiedError) as caught:
        ask(victim, b"burn!")
    assert caught.value.late


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA is a limit on Linux alone")
def test_its_memory_is_limited(victim):
    assert ask(victim, b"fill!") == b"full"
    assert ask(victim, b"still there") == b"echo still there"


def test_a_reply_larger_than_expected_is_not_read(victim):
    with pytest.raises(DiedError):
        ask(victim, b"claim")


def test_a_child_that_does_not_start_is_reported():
    child = Disposable("tests.support.children:nothing", quiet=True)
    with pytest.raises(DiedError, match="exit status 1"):
        ask(child, b"")


@pytest.mark.parametrize("word", [b"", b"sleep"], ids=["idle", "at work"])
def test_it_ends_with_its_parent_even_by_sigkill(word: bytes):
    program = (
        "import threading; from boneseg._util.disposable import Disposable; "
        "child = Disposable('tests.support.children:serve', quiet=True); "
        "print(child.pid, flush=True); "
        f"child.ask([{word!r}], 60, 100); threading.Event().wait()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    time.sleep(0.2)
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate(timeout=60)
    deadline = time.monotonic() + 10
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat")  # a zombie is waited for by init
        return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")
    except (ProcessLookupError, FileNotFoundError):
        return False
