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
