"""The server's handle of a worker: a process for each model that it uses.

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
    """A process for each model in use, started on demand and replaced when it dies.

    cores: the cores that they use; empty: all. timeout: seconds for a task.
    """

    def __init__(self, cores: Set[int], timeout: float) -> None:
        self.cores, self.timeout, self.died = cores, timeout, 0
        self._children: dict[Path, Disposable] = {}

    @property
    def pids(self) -> list[int]:
        return [child.pid for child in self._all()]

    def run(self, bundle: Path, task: Task[Result]) -> Result:
        """The result of a task. Raises what the task raises, and WorkerDiedError."""
        child = self._children.get(bundle)
        if child is None or not child.is_alive():
            self.start(bundle)
        try:
            reply: tuple[Result, Exception | None] = pickle.loads(
                self._ask(bundle, task, self.timeout)
            )
        except DiedError as error:
            self.died += 1
            self._end(bundle)
            raise WorkerDiedError(
                f"{task.name}: {error}; the worker was restarted, leave this film out"
            ) from None
        return _result(reply)

    def start(self, bundle: Path) -> None:
        """Start a new process with this model. Raises BundleError and ServerError."""
        self._end(bundle)
        self._children[bundle] = Disposable("boneseg.server.workers.process:serve", quiet=True)
        try:
            _result(pickle.loads(self._ask(bundle, (bundle, self.cores), START)))
        except DiedError as error:
            self._end(bundle)
            if error.late:
                raise ServerError(
                    f"{bundle}: did not load within {START:g} s; close other programs"
                ) from None
            raise BundleError(f"{bundle}: crashes the process loading it; copy it again") from None
        except Exception:
            self._end(bundle)
            raise

    def keep(self, bundles: Set[Path]) -> None:
        """End the processes of all other models; only from the thread that uses the worker."""
        for bundle in set(self._children) - bundles:
            self._end(bundle)

    def end(self) -> None:
        """Kill the processes, from any thread; the thread that uses the worker cleans up."""
        for child in self._all():
            child.kill()

    def kill(self) -> None:
        """Kill the processes and close their pipes; only from the thread that uses the worker."""
        self.keep(frozenset())

    def _end(self, bundle: Path) -> None:
        child = self._children.pop(bundle, None)
        if child is not None:
            child.end()

    def _all(self) -> list[Disposable]:
        return list(self._children.values())  # a copy: another thread may replace one

    def _ask(self, bundle: Path, request: object, seconds: float) -> memoryview:
        """The pickled reply to a request. Raises DiedError."""
        return self._children[bundle].ask([pickle.dumps(request)], seconds, LARGEST)


def _result(reply: tuple[Result, Exception | None]) -> Result:
    """The result in a reply. Raises the error in it."""
    result, error = reply
    if error is not None:
        raise error
    return result
