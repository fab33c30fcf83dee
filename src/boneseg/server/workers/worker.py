"""The server's handle of a worker process.

worker = Worker(cores={0}, timeout=120)
facts = worker.run(bundle_path, SegmentFilm(path, "knee.dcm", folder, stamp))
"""

from __future__ import annotations

import pickle
from collections.abc import Set
from pathlib import Path
from typing import TypeVar

from boneseg._util.disposable import DiedError, Disposable
from boneseg.errors import BundleError
from boneseg.server.errors import ServerError, WorkerDiedError
from boneseg.server.workers.tasks import Task

START = 120.0  # seconds for a worker to load the model
LARGEST = 2**31  # bytes of a reply

Result = TypeVar("Result")


class Worker:
    """A worker process, which is started on demand and replaced when it dies.

    cores: the cores that it uses; empty: all. timeout: seconds for a task.
    """

    def __init__(self, cores: Set[int], timeout: float) -> None:
        self.cores, self.timeout, self.died = cores, timeout, 0
        self._child: Disposable | None = None
        self._loaded: Path | None = None

    @property
    def pid(self) -> int | None:
        child = self._child  # another thread may replace it
        return child.pid if child is not None else None

    def run(self, bundle: Path, task: Task[Result]) -> Result:
        """The result of a task. Raises what the task raises, and WorkerDiedError."""
        if self._loaded != bundle or self._child is None or not self._child.is_alive():
            self.start(bundle)
        try:
            reply: tuple[Result, Exception | None] = pickle.loads(self._ask(task, self.timeout))
        except DiedError as error:
            self.died += 1
            self.kill()
            raise WorkerDiedError(
                f"{task.name}: {error}; the worker was restarted, leave this film out"
            ) from None
        return _result(reply)

    def start(self, bundle: Path) -> None:
        """Start a new process with this model. Raises BundleError and ServerError."""
        self.kill()
        self._child = Disposable("boneseg.server.workers.process:serve", quiet=True)
        try:
            _result(pickle.loads(self._ask((bundle, self.cores), START)))
        except DiedError as error:
            self.kill()
            if error.late:
                raise ServerError(
                    f"{bundle}: did not load within {START:g} s; close other programs"
                ) from None
            raise BundleError(f"{bundle}: crashes the process loading it; copy it again") from None
        except Exception:
            self.kill()
            raise
        self._loaded = bundle

    def end(self) -> None:
        """Kill the process, from any thread; the thread that uses the worker cleans up."""
        child = self._child
        if child is not None:
            child.kill()

    def kill(self) -> None:
        """Kill the process and close its pipe; only from the thread that uses the worker."""
        child, self._child, self._loaded = self._child, None, None
        if child is not None:
            child.end()

    def _ask(self, request: object, seconds: float) -> bytearray:
        """The pickled reply to a request. Raises DiedError."""
        assert self._child is not None
        return self._child.ask([pickle.dumps(request)], seconds, LARGEST)


def _result(reply: tuple[Result, Exception | None]) -> Result:
    """The result in a reply. Raises the error in it."""
    result, error = reply
    if error is not None:
        raise error
    return result
