"""Workers end with their parent, and a killed one causes no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from boneseg._util.processes import workers
from boneseg.errors import TrainingError

SLEEPERS = """
import os, time
from pathlib import Path
from boneseg._util.processes import workers

with workers(2, Path("run")) as pool:
    pool.submit(os.getpid).result()
    print("at work", flush=True)
    pool.submit(time.sleep, 60).result()
"""

AWAY = """
import os
from pathlib import Path
from boneseg._util.processes import workers

if __name__ == "__main__":
    with workers(1, Path("run")) as pool:
        pool.submit(os.getpid).result()
        print("at work")
"""


def test_kill_minus_9_ends_the_workers_too() -> None:
    call = [sys.executable, "-c", SLEEPERS]
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "at work\n"
        parent.kill()
        parent.communicate(timeout=20)  # to the end of stdout, which the workers hold open, too


def test_workers_import_nothing_from_the_current_folder(tmp_path: Path) -> None:
    """It may hold films of somebody else, and a module of the name of one of Python's own."""
    here, script = tmp_path / "films", tmp_path / "script.py"
    here.mkdir()
    script.write_text(AWAY)
    for name in ("signal", "random", "boneseg"):
        (here / f"{name}.py").write_text("import os; os.mkdir('executed')\n")
    call = [sys.executable, str(script)]
    done = subprocess.run(call, cwd=here, capture_output=True, text=True, check=False)
    assert done.stdout == "at work\n", done.stderr
    assert not (here / "executed").exists()


def test_a_worker_ended_from_outside_is_an_error_of_one_line() -> None:
    with (
        pytest.raises(TrainingError, match=r"^run: a worker was killed, .*--resume") as caught,
        workers(2, Path("run")) as pool,
    ):
        pool.submit(os._exit, 9).result()
    assert "\n" not in str(caught.value)


def test_an_error_does_not_wait_for_other_films() -> None:
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), workers(2, Path("run")) as pool:
        for _ in range(4):
            pool.submit(time.sleep, 60)
        raise KeyboardInterrupt
    assert time.monotonic() - began < 30
