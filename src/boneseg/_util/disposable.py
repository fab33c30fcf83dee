"""A child process that isolates its parent from crashes, hangs and memory exhaustion.

    process = Disposable("boneseg.radiograph.dicom.decoder:serve", quiet=True)
    reply = process.ask([header, frame], seconds=10, most=20_000_000)    # raises DiedError
    process.end()

Native decoders and models run in such children. A child handles one request at a time over its
standard input and output; requests and replies are bytes. A child exits when its parent ends, even
by SIGKILL: it reads its input in a separate thread, and exits at its end. Children are started by
`subprocess`, so that daemonic processes (workers of the light box, actors of a cluster) may have
them, and so that `__main__` is not imported again.

Memory is limited by RLIMIT_DATA, which only Linux enforces. On macOS and Windows only the timeout
and the checks made before a request (see `radiograph/dicom/codestream.py`) protect.
"""

from __future__ import annotations

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

START = 120.0  # seconds for a child to start

_HEAD = struct.Struct("<Qd")  # before each message: its length, and seconds for the reply
_GRACE = 5.0  # seconds after the timeout, when a child ends itself
_PIPE = 2**20  # capacity of the pipes in bytes, where it can be set (Linux)
_READY = b"ready"

Answer = Callable[[bytearray], Iterable[bytes | memoryview]]


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
        program = (  # not -m: sys.path may have changed since this process started
            f"import sys; sys.path[:] = {sys.path!r}; from {module} import {function}; {function}()"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None,
            bufsize=0,
            pipesize=_PIPE,
            env={**os.environ, **(environment or {})},
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

    def ask(self, request: Sequence[bytes | memoryview], seconds: float, most: int) -> bytearray:
        """The reply to a request.

        request: bytes in parts, sent in order. seconds: wall-clock timeout. most: bytes of the
        largest accepted reply. Raises DiedError, also where the child does not start.
        """
        if not self._ready:
            with self._within(START):
                if self._receive(len(_READY)) != _READY:
                    raise EOFError
            self._ready = True
        with self._within(seconds):
            _write(self._process.stdin, request, seconds)
            return self._receive(most)

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

    def _receive(self, most: int) -> bytearray:
        size, _ = _read_head(self._process.stdout)
        if size > most:
            raise EOFError
        return _read(self._process.stdout, size)

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


def answer_with(answer: Answer) -> NoReturn:
    """Handle the parent's requests one at a time until it ends.

    answer: returns the parts of the reply to a request. Call it in a child's main thread.
    """
    runtime.start()
    runtime.ignore_interrupts()
    runtime.write_no_core()
    source, target = (os.fdopen(os.dup(fd), mode, 0) for fd, mode in ((0, "rb"), (1, "wb")))
    with open(os.devnull, "r+b") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 0)
    os.dup2(2, 1)  # output of native code must not mix with the replies
    requests: SimpleQueue[tuple[bytearray, float]] = SimpleQueue()
    threading.Thread(target=_listen, args=(source, requests), daemon=True).start()
    try:
        _write(target, [_READY], 0)
        while True:
            request, seconds = requests.get()
            # A fallback for a child in native code whose parent was killed: the parent ends it.
            runtime.end_after(seconds + _GRACE)
            reply = list(answer(request))
            runtime.end_after(0)
            _write(target, reply, 0)
            del request, reply
    except OSError:  # the parent is gone
        os._exit(0)


def _listen(source: IO[bytes], requests: SimpleQueue[tuple[bytearray, float]]) -> None:
    """Read requests from the pipe; exit when the parent's end is closed."""
    try:
        while True:
            size, seconds = _read_head(source)
            requests.put((_read(source, size), seconds))
    except (OSError, EOFError, MemoryError):
        os._exit(0)


def _write(pipe: IO[bytes] | None, parts: Sequence[bytes | memoryview], seconds: float) -> None:
    assert isinstance(pipe, RawIOBase)  # unbuffered
    views = [memoryview(part).cast("B") for part in parts]
    for view in (memoryview(_HEAD.pack(sum(map(len, views)), seconds)), *views):
        while view:
            view = view[pipe.write(view) or 0 :]


def _read_head(pipe: IO[bytes] | None) -> tuple[int, float]:
    size, seconds = _HEAD.unpack(_read(pipe, _HEAD.size))
    return size, seconds


def _read(pipe: IO[bytes] | None, size: int) -> bytearray:
    assert isinstance(pipe, RawIOBase)  # unbuffered
    content = bytearray(size)
    view = memoryview(content)
    while view:
        count = pipe.readinto(view)
        if not count:
            raise EOFError
        view = view[count:]
    return content
