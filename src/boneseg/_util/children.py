"""Child processes that are kept for the next request.

    children = Children("boneseg.radiograph.dicom.decoder:serve")
    with children.one() as child:
        reply = child.ask([header, frame], seconds=10, most=20_000_000)

See `_util/disposable.py`.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from boneseg._util.disposable import Disposable


class NotStartedError(Exception):
    """The system has no room for a child, as for too many open files. The message is its reason."""


class Children:
    """Children that are kept for the next request. Thread-safe: each thread has one of its own.

    They end with this process; a process forked from it has its own. What they write to standard
    error is dropped.
    """

    def __init__(
        self,
        entry: str,
        *,
        environment: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> None:
        """entry, environment: of `Disposable`. seconds: that one is kept idle; None: to the end."""
        self._entry, self._environment, self._seconds = entry, environment, seconds
        self.idle: list[Disposable] = []
        self._timers: dict[Disposable, threading.Timer] = {}  # of those that are idle
        self._lock, self._registered = threading.Lock(), False

    @contextmanager
    def one(self) -> Iterator[Disposable]:
        """A child that is idle, or a new one; kept if it survives. Raises NotStartedError."""
        child = self._taken() or self._started()
        try:
            yield child
        finally:
            child.trim()
            if child.is_alive():
                self._keep(child)
            else:
                child.end()

    def end_all(self) -> None:
        """End those that are idle."""
        while child := self._taken():
            child.end()

    def _taken(self) -> Disposable | None:
        while True:
            with self._lock:
                self._register()
                child = self.idle.pop() if self.idle else None
                timer = self._timers.pop(child, None) if child else None
            if timer is not None:
                timer.cancel()
            if child is None or child.is_alive():
                return child
            child.end()

    def _started(self) -> Disposable:
        try:
            return Disposable(self._entry, quiet=True, environment=self._environment)
        except OSError as error:
            raise NotStartedError(error.strerror or str(error)) from None

    def _keep(self, child: Disposable) -> None:
        with self._lock:
            self.idle.append(child)
            if self._seconds is not None:
                timer = self._timers[child] = threading.Timer(self._seconds, self._end, (child,))
                timer.daemon = True
                timer.start()

    def _end(self, child: Disposable) -> None:
        with self._lock:
            if self._timers.get(child) is not threading.current_thread():
                return  # it was taken when its time was up
            del self._timers[child]
            self.idle.remove(child)
        child.end()

    def _register(self) -> None:
        if not self._registered:
            self._registered = True
            atexit.register(self.end_all)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=self._forget_all)

    def _forget_all(self) -> None:
        """After a fork, drop the children, which belong to the parent process."""
        self._lock = threading.Lock()
        self._timers.clear()
        while self.idle:
            self.idle.pop().forget()
