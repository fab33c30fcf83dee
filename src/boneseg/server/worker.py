"""A process that holds the model and takes one film at a time.

    worker = Worker(cores={0}, patience=120)
    facts = worker.do(bundle_path, Job("look", "knee.dcm", (path, folder, stamp)))

Films are read in that process too: decoders are native code, and a file made to break them breaks
a process that can be replaced. It takes one film at a time, so the film that it died over is known.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Set
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from boneseg.errors import BonesegError, BundleError, RadiographError
from boneseg.server.refusals import ServerError, WorkerDiedError

START = 120.0  # seconds for a worker to load the model
MEMORY = 4 * 2**30  # bytes it may take for a film, beside the model


@dataclass(frozen=True)
class Job:
    """One of `tasks.TASKS` for a film, and its result to come."""

    task: str
    film: str  # the name by which people know it
    arguments: tuple[Any, ...]
    future: Future[Any] = field(default_factory=Future)


class Worker:
    """The process, as the server holds it: started when it is needed, replaced when it dies."""

    def __init__(self, cores: Set[int], patience: float) -> None:
        self.cores, self.patience, self.died = cores, patience, 0
        self._process: Any = None
        self._pipe: Connection | None = None
        self._loaded: Path | None = None

    @property
    def pid(self) -> int | None:
        process = self._process  # another thread may be replacing it
        return process.pid if process is not None else None

    def do(self, bundle: Path, job: Job) -> Any:
        """What the task gives. Raises what it raises, and WorkerDiedError."""
        if self._loaded != bundle or self._process is None or not self._process.is_alive():
            self.start(bundle)
        try:
            assert self._pipe is not None
            self._pipe.send((job.task, job.film, job.arguments))
            if not self._pipe.poll(self.patience):
                raise TimeoutError
            kind, value = self._pipe.recv()
        except (EOFError, OSError) as error:  # TimeoutError is an OSError
            raise self._death(job.film, isinstance(error, TimeoutError)) from None
        if kind == "error":
            raise value
        return value

    def start(self, bundle: Path) -> None:
        """Have a fresh process that holds this model. Raises BundleError and ServerError."""
        self.kill()
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, bundle, self.cores), daemon=True)
        self._process, self._pipe = process, ours
        process.start()
        theirs.close()
        try:
            if not ours.poll(START):
                raise ServerError(f"{bundle}: was not loaded in {START:g} s; close other programs")
            kind, value = ours.recv()
        except (EOFError, OSError):
            self.kill()
            raise BundleError(f"{bundle}: ends the process that loads it; copy it again") from None
        if kind == "error":
            self.kill()
            raise value
        self._loaded = bundle

    def end(self) -> None:
        """Kill the process from any thread; the thread that uses the worker then tidies up."""
        process = self._process
        if process is not None and process.pid is not None:
            process.kill()

    def kill(self) -> None:
        """Kill the process and close its pipe, from the one thread that uses the worker."""
        if self._process is not None and self._process.pid is not None:
            self._process.kill()
            self._process.join(10)
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = self._loaded = None

    def _death(self, film: str, hung: bool) -> WorkerDiedError:
        if not hung:
            self._process.join(5)
        code = self._process.exitcode
        self.died += 1
        self.kill()
        if hung:
            reason = f"took more than {self.patience:g} s"
        elif code is not None and code < 0:
            reason = f"ended the process that looked at it ({signal.Signals(-code).name})"
        else:
            reason = f"ended the process that looked at it (exit status {code})"
        return WorkerDiedError(f"{film}: {reason}; another has taken its place, leave it out")


def _work(pipe: Connection, bundle: Path, cores: Set[int]) -> None:
    """The process's life: load the model, then one film after the other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends us
    if cores and hasattr(os, "sched_setaffinity"):
        with suppress(OSError):
            os.sched_setaffinity(0, cores)  # the engine takes as many threads as it has cores
    with suppress(EOFError, ConnectionError):  # the server is gone
        _serve(pipe, bundle)


def _serve(pipe: Connection, bundle: Path) -> None:
    """Raises EOFError and ConnectionError once nobody asks, or waits, any more."""
    from boneseg.engine import Engine
    from boneseg.server.tasks import TASKS

    try:
        engine = Engine(bundle)
    except BonesegError as error:
        pipe.send(("error", error))
        return
    _bound_memory()
    pipe.send(("ready", None))
    while True:
        task, film, arguments = pipe.recv()
        path, *rest = arguments
        try:
            reply = ("done", TASKS[task](engine, path, film, *rest))
        except MemoryError:
            reply = ("error", RadiographError(f"{film}: is too large for the memory; reduce it"))
        except BonesegError as error:
            error.args = (str(error).replace(str(path), film),)
            reply = ("error", error)
        except Exception as error:  # a bug: told, and the next film is looked at all the same
            reply = ("error", ServerError(f"{film}: {type(error).__name__}: {error}"))
        pipe.send(reply)
        del reply


def _bound_memory() -> None:
    """Let a film that unpacks to more than MEMORY end in a MemoryError, not in a dead machine."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
        resource.setrlimit(resource.RLIMIT_DATA, (pages * resource.getpagesize() + MEMORY,) * 2)
