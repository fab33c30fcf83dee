"""A process that holds the model, and the bounded queue before it.

    desk = Desk(bundle_path)
    facts = desk.submit("look", "knee.dcm", path, folder, stamp).result()

Films are read in that process too: decoders are native code, and a file made to break them breaks
a process that can be replaced. It takes one film at a time (the engine uses every core), so the
film that it died over is known.
"""

from __future__ import annotations

import math
import queue
import signal
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from boneseg.errors import BonesegError, BundleError, RadiographError
from boneseg.server.refusals import BusyError, ServerError, WorkerDiedError

WAITING = 32  # films in the queue, at most
PATIENCE = 120.0  # seconds for one film, before the worker is taken to hang
START = 120.0  # seconds for it to load the model
MEMORY = 6 * 2**30  # bytes it may take for a film, beside the model


@dataclass(frozen=True)
class _Job:
    task: str
    film: str  # the name by which people know it
    arguments: tuple[Any, ...]
    future: Future[Any]


@dataclass
class Counts:
    """What the desk has done, for /metrics and /api/health."""

    done: int = 0
    failed: int = 0
    died: int = 0
    refused: int = 0
    usual_seconds: float = 0.2  # of a film, of late


class Desk:
    """The queue and the worker; safe to use from any thread."""

    def __init__(self, bundle: Path, *, waiting: int = WAITING, patience: float = PATIENCE) -> None:
        self.bundle, self.patience, self.counts = bundle, patience, Counts()
        self._queue: queue.Queue[_Job | None] = queue.Queue(waiting)
        self._process: Any = None
        self._pipe: Connection | None = None
        self._loaded: Path | None = None
        self._busy = False
        self._thread = threading.Thread(target=self._serve, name="desk", daemon=True)
        self._start()
        self._thread.start()

    def submit(self, task: str, film: str, *arguments: Any) -> Future[Any]:
        """Queue one of `tasks.TASKS` for a film. Raises BusyError where the queue is full."""
        job = _Job(task, film, arguments, Future())
        try:
            self._queue.put_nowait(job)
        except queue.Full:
            self.refuse()
        return job.future

    def check_room(self) -> None:
        """Raise BusyError where the queue is full, before an upload is taken in."""
        if self._queue.full():
            self.refuse()

    def refuse(self) -> None:
        self.counts.refused += 1
        seconds = math.ceil(self._queue.qsize() * self.counts.usual_seconds) or 1
        raise BusyError(
            f"{self._queue.qsize()} films wait already; come again in {seconds} s", seconds
        )

    @property
    def waiting(self) -> int:
        return self._queue.qsize()

    @property
    def idle(self) -> bool:
        return not self._busy and self._queue.empty()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def use(self, bundle: Path) -> None:
        """Look at films with another model from now on; the film at hand is finished first."""
        self.bundle = bundle

    def close(self) -> None:
        """End the worker; what waits is given up."""
        while True:
            with suppress(queue.Empty):
                while (job := self._queue.get_nowait()) is not None:
                    job.future.cancel()
            with suppress(queue.Full):
                self._queue.put_nowait(None)
                break
        self._kill()
        self._thread.join(10)

    def _serve(self) -> None:
        while (job := self._queue.get()) is not None:
            if not job.future.set_running_or_notify_cancel():
                continue
            self._busy = True
            started = time.perf_counter()
            try:
                job.future.set_result(self._do(job))
                self.counts.done += 1
            except BaseException as error:
                self.counts.failed += 1
                job.future.set_exception(error)
            finally:
                self._busy = False
            took = time.perf_counter() - started
            self.counts.usual_seconds += 0.1 * (took - self.counts.usual_seconds)

    def _do(self, job: _Job) -> Any:
        if self._loaded != self.bundle or self._process is None or not self._process.is_alive():
            self._kill()
            self._start()
        try:
            assert self._pipe is not None
            self._pipe.send((job.task, job.film, job.arguments))
            if not self._pipe.poll(self.patience):
                raise TimeoutError
            kind, value = self._pipe.recv()
        except (EOFError, OSError) as error:  # TimeoutError is an OSError
            raise self._died(job, isinstance(error, TimeoutError)) from None
        if kind == "error":
            raise value
        return value

    def _died(self, job: _Job, hung: bool) -> WorkerDiedError:
        if not hung:
            self._process.join(5)
        code = self._process.exitcode
        self.counts.died += 1
        self._kill()
        if hung:
            reason = f"took more than {self.patience:g} s"
        elif code is not None and code < 0:
            reason = f"ended the process that looked at it ({signal.Signals(-code).name})"
        else:
            reason = f"ended the process that looked at it (exit status {code})"
        return WorkerDiedError(f"{job.film}: {reason}; another has taken its place, leave it out")

    def _start(self) -> None:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        bundle = self.bundle
        self._process = context.Process(target=_work, args=(theirs, bundle), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe = ours
        try:
            if not ours.poll(START):
                raise ServerError(f"{bundle}: was not loaded in {START:g} s; close other programs")
            kind, value = ours.recv()
        except (EOFError, OSError):
            self._kill()
            raise BundleError(f"{bundle}: ends the process that loads it; copy it again") from None
        if kind == "error":
            self._kill()
            raise value
        self._loaded = bundle

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join(10)
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = self._loaded = None


def _work(pipe: Connection, bundle: Path) -> None:
    """The worker's life: load the model, then one film after the other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends us
    from boneseg.bundle import load_bundle
    from boneseg.engine import Engine
    from boneseg.server.tasks import TASKS

    try:
        engine = Engine(load_bundle(bundle))
    except BonesegError as error:
        pipe.send(("error", error))
        return
    _bound_memory()
    pipe.send(("ready", None))
    while True:
        try:
            task, film, arguments = pipe.recv()
        except EOFError:  # the server is gone
            return
        path, *rest = arguments
        try:
            reply = ("done", TASKS[task](engine, path, film, *rest))
        except MemoryError:
            reply = ("error", RadiographError(f"{film}: is too large for the memory; reduce it"))
        except BonesegError as error:
            reply = ("error", type(error)(str(error).replace(str(path), film)))
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
