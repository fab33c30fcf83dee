"""End a run of several test processes in which no test ends for long, and say what hangs."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest


class Silence:
    """A plugin of the process that hands out the tests.

    pytest's own limit (pyproject.toml) is for a test; this one is also for what happens between
    tests, and for pytest-xdist itself.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.running: set[str] = set()
        self.last = time.monotonic()

    def pytest_sessionstart(self) -> None:
        threading.Thread(target=self._watch, daemon=True).start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.running.add(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.last = time.monotonic()
        if report.when == "teardown":
            self.running.discard(report.nodeid)

    def _watch(self) -> None:
        while (left := self.last + self.seconds - time.monotonic()) > 0:
            time.sleep(left)
        lines = [f"no test has ended for {self.seconds:g} s; these run:", *sorted(self.running)]
        print("", *lines, sep="\n", file=sys.__stderr__, flush=True)
        for process in children():
            os.kill(process, signal.SIGABRT)  # it prints the stack of each thread
        time.sleep(2)
        os._exit(3)


def children() -> list[int]:
    """The processes that this one has started, on Linux."""
    lists = Path("/proc/self/task").glob("*/children")
    return [int(word) for path in lists for word in path.read_text().split()]
