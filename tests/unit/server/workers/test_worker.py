"""A worker process."""

from __future__ import annotations

import subprocess
import sys


def test_a_worker_without_a_server_exits_silently() -> None:
    call = [sys.executable, "-c", "from boneseg.server.workers.process import serve; serve()"]
    done = subprocess.run(call, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
