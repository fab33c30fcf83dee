"""Memory that a process shares with its child, so that films are not copied through pipes.

    memory = SharedMemory.create()      # Popen(..., pass_fds=[memory.file])
    view = memory.view(24_000_000)      # in the child: SharedMemory(file).view(24_000_000)

Linux only: elsewhere, memory that is shared has a name, and can stay behind.
"""

from __future__ import annotations

import mmap
import os
import sys
from contextlib import suppress

MOST = 2**30  # bytes
KEPT = 2**26  # bytes that `trim` keeps


class SharedMemory:
    """Memory without a name, open in a process and its child, each of which maps it.

    It can grow, but neither can shrink it, which would crash the other (SIGBUS).
    """

    def __init__(self, file: int) -> None:
        self.file = file  # descriptor
        self._map: mmap.mmap | None = None

    @classmethod
    def create(cls) -> SharedMemory | None:
        """None where the system has no such memory."""
        if sys.platform != "linux":
            return None
        import fcntl

        try:
            file = os.memfd_create("boneseg", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        except OSError:
            return None
        return cls(file)

    def view(self, size: int) -> memoryview | None:
        """The first bytes, zero until written; None for more than can be shared."""
        if size > MOST:
            return None
        try:
            if os.fstat(self.file).st_size < size:
                os.ftruncate(self.file, size)
            if self._map is None or len(self._map) < size:
                self._map = mmap.mmap(self.file, 0)
        except (OSError, ValueError):  # not enough memory
            return None
        return memoryview(self._map)[:size]

    def trim(self) -> None:
        """Give all but the first KEPT bytes back to the system; they are zero again."""
        if sys.platform == "linux" and self._map is not None and len(self._map) > KEPT:
            with suppress(OSError):
                self._map.madvise(mmap.MADV_REMOVE, KEPT)

    def close(self) -> None:
        """Close it in this process; views of it stay valid."""
        self._map = None
        if self.file >= 0:
            os.close(self.file)
        self.file = -1
