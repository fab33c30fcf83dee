"""The bounded queue of films and its workers.

    jobs = JobQueue(bundle_path)
    facts = jobs.submit(SegmentFilm(path, "knee.dcm", folder, stamp)).result()

Two workers, each on half of the cores: an engine on half of them has more than half the throughput,
one film is decoded while another is segmented, and a slow film blocks only one worker.
"""

from __future__ import annotations

import itertools
import math
import os
import queue
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from boneseg.errors import BonesegError
from boneseg.server.errors import BusyError
from boneseg.server.workers.tasks import Result_co, Task
from boneseg.server.workers.worker import Worker

MOST_WAITING = 32  # largest queue, films
TIMEOUT = 120.0  # seconds for one film
WORKERS = 2  # fewer where there are fewer cores

Result = TypeVar("Result")


@dataclass(frozen=True)
class Job(Generic[Result_co]):
    """A task and the future of its result."""

    task: Task[Result_co]
    future: Future[Result_co] = field(default_factory=Future)


_Queued = tuple[int, int, Job[object] | None]  # priority, number, job; None: end


@dataclass
class Counts:
    """Counters for /metrics and /api/health."""

    done: int = 0
    failed: int = 0
    refused: int = 0
    usual_seconds: float = 0.2  # per film, moving average


class JobQueue:
    """The queue and its workers. Thread-safe.

    bundle: the model of the page. api: that of tasks for the API, the same by default.
    """

    def __init__(
        self,
        bundle: Path,
        api: Path | None = None,
        *,
        most_waiting: int = MOST_WAITING,
        timeout: float = TIMEOUT,
        workers: int = WORKERS,
    ) -> None:
        self.bundle, self.api, self.counts = bundle, api or bundle, Counts()
        self.workers = [Worker(cores, timeout) for cores in shares(workers)]
        self._limit, self._numbers = most_waiting, itertools.count()
        self._queue: queue.PriorityQueue[_Queued] = queue.PriorityQueue()
        self._lock = threading.Lock()
        self._busy, self._closed = 0, False
        self.workers[0].start(bundle)  # raises if the model cannot be loaded
        self._threads = [
            threading.Thread(target=self._serve, args=(worker,), name="worker", daemon=True)
            for worker in self.workers
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Task[Result]) -> Future[Result]:
        """Queue a task. Raises BusyError where the queue is full and the task is not urgent."""
        job = Job(task)
        if not task.urgent:
            self.check_room()
        self._put(job, 0 if task.urgent else 1)
        return job.future

    def check_room(self) -> None:
        """Raise BusyError where the queue is full, before an upload is read."""
        if self.waiting >= self._limit:
            self.refuse()

    def _put(self, job: Job[object] | None, place: int) -> None:
        self._queue.put((place, next(self._numbers), job))

    def refuse(self) -> None:
        self.counts.refused += 1
        ahead = self._queue.qsize()
        seconds = math.ceil(ahead * self.counts.usual_seconds / len(self.workers)) or 1
        raise BusyError(f"the queue is full ({ahead} films); retry in {seconds} s", seconds)

    @property
    def waiting(self) -> int:
        return self._queue.qsize()

    @property
    def deaths(self) -> int:
        """Number of workers that were replaced."""
        return sum(worker.died for worker in self.workers)

    @property
    def idle(self) -> bool:
        return not self._busy and self._queue.empty()

    @property
    def ready(self) -> bool:
        """Whether a worker is running."""
        return not self._closed and bool(self.pids)

    @property
    def pids(self) -> list[int]:
        return [pid for worker in self.workers for pid in worker.pids]

    def use(self, bundle: Path, api: Path) -> None:
        """Switch to other models; films in progress are finished first."""
        self.bundle, self.api = bundle, api

    def close(self) -> None:
        """Stop the workers and cancel the queue."""
        self._closed = True
        with suppress(queue.Empty):
            while (job := self._queue.get_nowait()[2]) is not None:
                job.future.cancel()
        self._put(None, 2)
        for worker, thread in zip(self.workers, self._threads, strict=True):
            given_up = time.monotonic() + 10
            while thread.is_alive() and time.monotonic() < given_up:
                worker.end()  # repeatedly, since it may just be starting
                thread.join(0.05)
            worker.kill()

    def _serve(self, worker: Worker) -> None:
        if not worker.pids:
            with suppress(BonesegError):  # reported for the next film
                worker.start(self.bundle)
        while (job := self._queue.get()[2]) is not None and not self._closed:
            if not job.future.set_running_or_notify_cancel():
                continue
            started = time.perf_counter()
            self._count(busy=1)
            try:
                worker.keep({self.bundle, self.api})
                result = worker.run(self.api if job.task.for_api else self.bundle, job.task)
            except BaseException as error:
                self._count(busy=-1, failed=1, seconds=time.perf_counter() - started)
                job.future.set_exception(error)
            else:
                self._count(busy=-1, done=1, seconds=time.perf_counter() - started)
                job.future.set_result(result)
        self._put(None, 2)  # for the other worker

    def _count(
        self, *, busy: int, done: int = 0, failed: int = 0, seconds: float | None = None
    ) -> None:
        with self._lock:
            self._busy += busy
            self.counts.done += done
            self.counts.failed += failed
            if seconds is not None:
                self.counts.usual_seconds += 0.1 * (seconds - self.counts.usual_seconds)


def shares(workers: int) -> list[frozenset[int]]:
    """Divide the cores of this process among `workers`, or fewer: at least one core each.

    All get the same number, since the last digits of a network's output depend on it and the mask
    of a film must not depend on the worker. Empty sets where the system does not support affinity.
    """
    if not hasattr(os, "sched_getaffinity"):
        return [frozenset()] * min(workers, os.cpu_count() or 1)
    cores = sorted(os.sched_getaffinity(0))
    workers = min(workers, len(cores))
    each = len(cores) // workers
    return [frozenset(cores[each * place : each * (place + 1)]) for place in range(workers)]
