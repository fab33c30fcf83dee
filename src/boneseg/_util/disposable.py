"""A child process that isolates its parent from crashes, hangs and memory exhaustion.

    process = Disposable("boneseg.radiograph.dicom.decoder:serve", quiet=True)
    reply = process.ask([header, frame], seconds=10, most=20_000_000)    # raises DiedError
    process.end()

Native decoders and models run in such children. A child handles one request at a time. Requests and
replies are bytes, in memory that both share or else in the pipes of its standard input and output,
which also announce them. A child exits when its parent ends, even by SIGKILL: it reads its input in
a separate thread, and exits at its end. Children are started by
`subprocess`, so that daemonic processes (workers of the light box, actors of a cluster) may have
them, and so that `__main__` is not imported again.

Memory is limited by RLIMIT_DATA, which only Linux enforces. On macOS and Windows only the timeout
and the checks made before a request (see `radiograph/dicom/codestream.py`) protect.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import RawIOBase
from queue import SimpleQueue
from typing import IO, NoReturn

from boneseg._util import runtime
from boneseg._util.shared_memory import SharedMemory

START = 120.0  # seconds for a child to start

_HEAD = struct.Struct("<QdQ")  # of a message: its length, seconds for the reply, shared bytes
_GRACE = 5.0  # seconds after the timeout, when a child ends itself
_PIPE = 2**20  # capacity of the pipes in bytes, where it can be set (Linux)
_READY = b"ready"

Room = Callable[[int], memoryview]
Answer = Callable[[memoryview, Room], Iterable[bytes | memoryview]]


class DiedError(Exception):
    """A child ended, or was killed at its timeout."""

    def __init__(self, exit_status: int | None, seconds: float | None) -> None:
        super().__init__(exit_status, seconds)
        self.exit_status = exit_status  # negative: the signal
        self.late = seconds is not None or exit_status == -getattr(signal, "SIGXCPU", 0)
        self.seconds = seconds

    def __str__(self) -> str:
        if self.seconds is not None:
            return f"took more than {self.seconds:g} s"
        if self.late:
            return "took too much time"
        status = self.exit_status
        if status is None or status >= 0:
            cause = f"exit status {status}"
        else:
            known = {one.value: one.name for one in signal.Signals}
            cause = known.get(-status, f"signal {-status}")
        return f"ended the process that read it ({cause})"


class Disposable:
    """The parent's handle of a child. Not thread-safe, except `kill`."""

    def __init__(
        self, entry: str, *, quiet: bool, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start a child; the first request waits until it is ready.

        entry: "module:function", called in the child with no arguments; it calls `answer_with`.
        quiet: whether what the child writes to standard error is dropped.
        environment: variables set in the child besides those of this process.
        """
        module, _, function = entry.partition(":")
        paths = [os.path.abspath(path) for path in sys.path]  # noqa: PTH100 ("" is this folder)
        program = (  # not -m: sys.path may have changed since this process started
            f"import sys; sys.path[:] = {paths!r}; from {module} import {function}; {function}()"
        )
        self._memory = SharedMemory.create()
        shared = [self._memory.file] if self._memory else []
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, shared)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            bufsize=0,
            pipesize=_PIPE,
            env={**os.environ, **(environment or {})},
            pass_fds=shared,
            cwd=os.path.abspath(os.sep),  # noqa: PTH100 (libraries look for files of their own)
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self._guard = threading.Lock()  # the timeout may coincide with the reply
        self._waiting = self._ended_late = False
        self._ready = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return not self._ended_late and self._process.poll() is None

    def ask(self, request: Sequence[bytes | memoryview], seconds: float, most: int) -> memoryview:
        """The reply to a request; the next one can overwrite it.

        request: bytes in parts, sent in order. seconds: wall-clock timeout. most: bytes of the
        largest accepted reply. Raises DiedError, also where the child does not start.
        """
        if not self._ready:
            with self._within(START):
                if self._receive(None, len(_READY)) != _READY:
                    raise EOFError
            self._ready = True
        parts = [memoryview(part).cast("B") for part in request]
        length = sum(map(len, parts))
        memory = self._memory.view(_aligned(length) + most) if self._memory else None
        head = _HEAD.pack(length, seconds, 0 if memory is None else len(memory))
        with self._within(seconds):
            _write(self._process.stdin, head, _left_for_pipe(parts, memory))
            return self._receive(None if memory is None else memory[_aligned(length) :], most)

    def trim(self) -> None:
        """Give back the memory of large messages, the last reply among them."""
        if self._memory:
            self._memory.trim()

    def kill(self) -> None:
        """Kill the child, from any thread; a pending request raises DiedError."""
        self._process.kill()

    def end(self) -> None:
        """Kill the child, wait for it and close the pipes."""
        self._process.kill()
        self._close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(10)

    def forget(self) -> None:
        """Close the pipes of a child inherited by fork, without ending it."""
        self._close()
        self._process.returncode = 0

    def _close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        if self._memory:
            self._memory.close()

    def _receive(self, memory: memoryview | None, most: int) -> memoryview:
        size, _, _ = _read_head(self._process.stdout)
        if size > most:
            raise EOFError
        return _read(self._process.stdout, size) if memory is None else memory[:size]

    @contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """Kill the child at the timeout, or where the parent leaves before the end of a message.

        Raises DiedError for a child that has ended.
        """
        timer = threading.Timer(seconds, self._expire)
        timer.daemon = True
        self._waiting = True
        timer.start()
        try:
            yield
        except (OSError, EOFError, ValueError):  # ValueError: the pipe is closed
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(2)  # get its own exit status if it is exiting
            self.end()
            status = self._process.returncode
            raise DiedError(status, seconds if self._ended_late else None) from None
        except BaseException:
            self.end()
            raise
        finally:
            timer.cancel()
            with self._guard:
                self._waiting = False

    def _expire(self) -> None:
        with self._guard:
            if self._waiting:
                self._ended_late = True
                self._process.kill()


# -- in the child ---------------------------------------------------------------------------------


class _Request:
    """A request: its content, seconds for the reply, and memory for that if it is shared."""

    def __init__(self, content: memoryview, seconds: float, memory: memoryview | None) -> None:
        self.content, self.seconds, self._memory = content, seconds, memory
        self._taken = memoryview(b"")

    def room(self, size: int) -> memoryview:
        """Memory for the first bytes of the reply, to be filled. Raises MemoryError."""
        if self._memory is None:
            self._taken = memoryview(bytearray(size))
        elif size <= len(self._memory):
            self._taken = self._memory[:size]
        else:
            raise MemoryError
        return self._taken

    def reply(self, target: IO[bytes], parts: Sequence[memoryview]) -> None:
        """Reply with the room, if it was taken, followed by these parts."""
        start = len(self._taken)
        size = start + sum(map(len, parts))
        head = _HEAD.pack(size, 0, 0)
        if self._memory is None:
            _write(target, head, [self._taken, *parts])
        else:
            fits = size <= len(self._memory)  # the parent refuses a larger reply
            _write(target, head, _left_for_pipe(parts if fits else [], self._memory[start:]))


def answer_with(answer: Answer) -> NoReturn:
    """Handle the parent's requests one at a time until it ends.

    answer: given a request and `room`, returns the parts of the reply. `room(size)` is memory to be
    filled with the first bytes of the reply, which are not copied again. Call `answer_with` in a
    child's main thread.
    """
    runtime.start()
    runtime.ignore_interrupts()
    runtime.write_no_core()
    source, target = (os.fdopen(os.dup(fd), mode, 0) for fd, mode in ((0, "rb"), (1, "wb")))
    with open(os.devnull, "r+b") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 0)
    os.dup2(2, 1)  # output of native code must not mix with the replies
    requests: SimpleQueue[_Request] = SimpleQueue()
    threading.Thread(target=_listen, args=(source, requests), daemon=True).start()
    try:
        _write(target, _HEAD.pack(len(_READY), 0, 0), [memoryview(_READY)])
        while True:
            request = requests.get()
            # A fallback for a child in native code whose parent was killed: the parent ends it.
            runtime.end_after(request.seconds + _GRACE)
            parts = [memoryview(part).cast("B") for part in answer(request.content, request.room)]
            runtime.end_after(0)
            request.reply(target, parts)
            del request, parts
    except OSError:  # the parent is gone
        os._exit(0)


def _listen(source: IO[bytes], requests: SimpleQueue[_Request]) -> None:
    """Read requests from the pipe; exit when the parent's end is closed."""
    memory = SharedMemory(int(sys.argv[1])) if sys.argv[1:] else None
    try:
        while True:
            size, seconds, shared = _read_head(source)
            if not (memory and shared):
                requests.put(_Request(_read(source, size), seconds, None))
            elif (view := memory.view(shared)) is not None:
                requests.put(_Request(view[:size], seconds, view[_aligned(size) :]))
            else:
                raise MemoryError
    except (OSError, EOFError, MemoryError):
        os._exit(0)


# -- messages -------------------------------------------------------------------------------------


def _aligned(size: int) -> int:
    """Where the reply begins in shared memory, after a request of this size."""
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def _left_for_pipe(parts: Sequence[memoryview], memory: memoryview | None) -> Sequence[memoryview]:
    """Copy the parts of a message to shared memory; returns those that the pipe has to take."""
    if memory is None:
        return parts
    start = 0
    for part in parts:
        memory[start : start + len(part)] = part
        start += len(part)
    return ()


def _write(pipe: IO[bytes] | None, head: bytes, parts: Sequence[memoryview]) -> None:
    assert isinstance(pipe, RawIOBase)  # unbuffered
    for view in (memoryview(head), *parts):
        while view:
            view = view[pipe.write(view) or 0 :]


def _read_head(pipe: IO[bytes] | None) -> tuple[int, float, int]:
    size, seconds, shared = _HEAD.unpack(_read(pipe, _HEAD.size))
    return size, seconds, shared


def _read(pipe: IO[bytes] | None, size: int) -> memoryview:
    assert isinstance(pipe, RawIOBase)  # unbuffered
    content = view = memoryview(bytearray(size))
    while view:
        count = pipe.readinto(view)
        if not count:
            raise EOFError
        view = view[count:]
    return content
