"""Process-wide settings work on any system."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from boneseg._util import runtime


def test_memory_that_is_freed_can_be_kept_on_any_system() -> None:
    runtime.share_freed_memory()
    runtime.keep_freed_memory()
    assert float(np.ones((1000, 1000)).sum()) == 1_000_000


FREEING = """
import sys
from boneseg._util import runtime
MIB = 2**20
freed = runtime.FreedMemory(32 * MIB)
runtime.share_freed_memory()
freed.give_back()
before = runtime._memory_of_its_own()
large, small = [], []
for _ in range(6):  # small objects that stay, between large ones
    large.append(bytearray(16 * MIB))
    small.append(bytearray(100_000))
del large
kept = runtime._memory_of_its_own()
freed.give_back()
print((kept - before) // MIB, (runtime._memory_of_its_own() - before) // MIB)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_a_process_gives_back_much_of_what_it_freed() -> None:
    call = [sys.executable, "-c", FREEING]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    kept, left = map(int, done.stdout.split())
    assert kept > 64 and left < 16


def test_numpy_starts_one_thread_unless_it_runs_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    runtime.calculate_in_one_thread()
    assert "OPENBLAS_NUM_THREADS" not in os.environ  # it would have no effect here
    code = (
        "from boneseg._util import runtime; runtime.calculate_in_one_thread(); import numpy; "
        "from threadpoolctl import threadpool_info; "
        "print({library['num_threads'] for library in threadpool_info()})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("{1}", "set()")  # no OpenBLAS at all on macOS


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_processes_talk_by_the_interface_that_leads_to_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth7")
    runtime.talk_to("127.0.0.1")
    assert os.environ["GLOO_SOCKET_IFNAME"] == "eth7"  # the user's choice stays
    monkeypatch.delenv("GLOO_SOCKET_IFNAME")
    runtime.talk_to("127.0.0.1")
    assert os.environ["GLOO_SOCKET_IFNAME"] == "lo"
    runtime.talk_to("no.such.host.invalid")
