"""Memory shared with a child: without a name, and safe from what the child does with it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from boneseg._util.shared_memory import KEPT, MOST, SharedMemory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")


def created() -> SharedMemory:
    memory = SharedMemory.create()
    assert memory is not None
    return memory


def test_a_child_sees_what_is_written() -> None:
    memory = created()
    view = memory.view(5)
    assert view is not None
    view[:] = b"hello"
    program = (
        "import sys; from boneseg._util.shared_memory import SharedMemory; "
        "view = SharedMemory(int(sys.argv[1])).view(5); view[:] = bytes(view).upper()"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(memory.file)],
        check=True,
        pass_fds=[memory.file],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert bytes(view) == b"HELLO"
    memory.close()


def test_it_grows_and_cannot_be_shrunk() -> None:
    memory = created()
    small, large = memory.view(5), memory.view(100_000)
    assert small is not None and large is not None and len(large) == 100_000
    large[0] = 7
    assert small[0] == 7
    with pytest.raises(PermissionError):
        os.ftruncate(memory.file, 0)
    assert memory.view(MOST + 1) is None


def test_a_view_outlives_it() -> None:
    memory = created()
    view = memory.view(5)
    memory.close()
    memory.close()
    assert view is not None and bytes(view) == bytes(5)


def test_large_memory_is_given_back() -> None:
    memory = created()
    view = memory.view(KEPT + 2**20)
    assert view is not None
    view[0] = view[-1] = 7
    memory.trim()
    assert (view[0], view[-1]) == (7, 0)
    assert os.fstat(memory.file).st_blocks * 512 < 2**20
