"""A process that holds the model and takes one film at a time.

    worker = Worker(cores={0}, patience=120)
    facts = worker.do(bundle_path, Job("look", "knee.dcm", (path, folder, stamp)))

Films are decoded in that process too: a malformed file that crashes a native decoder then ends only
a replaceable process. It processes one film at a time, so the film at fault is known.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Set
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boneseg._util.disposable import DiedError, Disposable, answer_with, bound_memory
from boneseg.errors import BonesegError, BundleError, RadiographError
from boneseg.server.errors import ServerError, WorkerDiedError

if TYPE_CHECKING:
    from boneseg.inference.engine import Engine

START = 120.0  # seconds for a worker to load the model
MEMORY = 4 * 2**30  # bytes allowed for a film, on top of the model
LARGEST = 2**31  # bytes of a reply


@dataclass(frozen=True)
class Job:
    """One of `tasks.TASKS` for a film, and the future of its result."""

    task: str
    film: str  # its display name
    arguments: tuple[Any, ...]
    future: Future[Any] = field(default_factory=Future)


class Worker:
    """The server's handle of the process, which is started on demand and replaced when it dies."""

    def __init__(self, cores: Set[int], patience: float) -> None:
        self.cores, self.patience, self.died = cores, patience, 0
        self._child: Disposable | None = None
        self._loaded: Path | None = None

    @property
    def pid(self) -> int | None:
        child = self._child  # another thread may replace it
        return child.pid if child is not None else None

    def do(self, bundle: Path, job: Job) -> Any:
        """The result of a task. Raises what the task raises, and WorkerDiedError."""
        if self._loaded != bundle or self._child is None or not self._child.is_alive():
            self.start(bundle)
        try:
            return self._ask((job.task, job.film, job.arguments), self.patience)
        except DiedError as error:
            self.died += 1
            self.kill()
            raise WorkerDiedError(
                f"{job.film}: {error}; the worker was restarted, leave this film out"
            ) from None

    def start(self, bundle: Path) -> None:
        """Start a new process with this model. Raises BundleError and ServerError."""
        self.kill()
        self._child = Disposable(
            "boneseg.server.workers.worker:serve", quiet=True
        )  # decoders print
        try:
            self._ask((bundle, self.cores), START)
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

    def _ask(self, request: Any, seconds: float) -> Any:
        """Send a request. Raises DiedError, and the error that the process returns."""
        assert self._child is not None
        kind, value = pickle.loads(self._child.ask([pickle.dumps(request)], seconds, LARGEST))
        if kind == "error":
            raise value
        return value


# -- in the process -------------------------------------------------------------------------------


def serve() -> None:
    """Load the model, then process tasks one at a time."""
    engine: Engine | None = None

    def answer(request: bytearray) -> Iterator[bytes]:
        nonlocal engine
        if engine is None:
            reply, engine = _load(*pickle.loads(request))
        else:
            reply = _do(engine, *pickle.loads(request))
        yield pickle.dumps(reply)

    answer_with(answer)


def _load(bundle: Path, cores: Set[int]) -> tuple[tuple[str, Any], Engine | None]:
    from boneseg.inference.engine import Engine

    if cores and hasattr(os, "sched_setaffinity"):
        with suppress(OSError):
            os.sched_setaffinity(0, cores)  # the engine uses one thread per core
    try:
        engine = Engine(bundle)
    except BonesegError as error:
        return ("error", error), None
    bound_memory(MEMORY)  # a film that needs more raises MemoryError
    return ("ready", None), engine


def _do(engine: Engine, task: str, film: str, arguments: tuple[Any, ...]) -> tuple[str, Any]:
    from boneseg.server.workers.tasks import TASKS

    path, *rest = arguments
    try:
        return "done", TASKS[task](engine, path, film, *rest)
    except MemoryError:
        return "error", RadiographError(f"{film}: does not fit into memory; reduce it")
    except BonesegError as error:
        error.args = (str(error).replace(str(path), film),)
        return "error", error
    except Exception as error:  # a bug: reported, and the worker continues
        return "error", ServerError(f"{film}: {type(error).__name__}: {error}")
