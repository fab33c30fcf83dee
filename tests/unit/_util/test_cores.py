"""The CPU cores of a process: those that it may use, not those of the machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from boneseg._util.cores import available_cores


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs CPU affinity")
def test_cores_that_a_process_may_not_use_do_not_count() -> None:
    one = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, {{{one}}})\n"
    code += "from boneseg._util.cores import available_cores; print(available_cores())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
    assert available_cores() == len(os.sched_getaffinity(0))
