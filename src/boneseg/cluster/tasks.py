"""Folds and trials on a cluster: each is a task on whatever machine has the cores for it.

    with cluster_pool("10.0.0.1:6379", cores=4) as pool:
        cross_validate(data, recipe, "runs/cv", pool=pool)

A task works in a temporary folder of its machine. Its files come back with its result, and only
this process writes them to the run: also where a worker that was given up goes on unseen, a task
has one result. If a worker or its machine is lost, another one resumes the task from the
checkpoints that it copied to the run's folder, where machines share that, or to `checkpoints`.
"""

from __future__ import annotations

import functools
import shutil
import socket
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from boneseg._util import runtime
from boneseg._util.files import make_folder, whole_file
from boneseg._util.pools import Task, outcome_of
from boneseg.bundle.store import Bundle, load_bundle
from boneseg.cluster.checkpoints import kept_in
from boneseg.cluster.connection import (
    cause,
    check_head,
    check_installed,
    check_version,
    connected,
    devices_of_worker,
    room,
)
from boneseg.cluster.storage import Storage
from boneseg.errors import BonesegError, TrainingError

LOOK = 5.0  # seconds between looks for new machines
DEATHS = 3  # workers that a task may cost

S = TypeVar("S")
T = TypeVar("T", bound=Task)
R = TypeVar("R")
E = TypeVar("E", bound=BonesegError)
Files = Mapping[str, bytes]  # by their path below the run


@contextmanager
def cluster_pool(address: str, cores: int, checkpoints: str | None = None) -> Iterator[ClusterPool]:
    """A pool on the cluster at "HOST:PORT", or on a "local" one that ends with the block.

    cores: of each task; where the cluster has GPUs, it has one of those as well. checkpoints: a
    path or URL that all machines share. Raises as `connected`.
    """
    with connected(address):
        ray.util.register_serializer(Bundle, serializer=_content, deserializer=_bundle)
        yield ClusterPool(cores, checkpoints)


@dataclass(frozen=True)
class ClusterPool:
    """A `Pool` of the cluster that this process is connected to."""

    threads: int
    checkpoints: str | None = None
    in_process: ClassVar = False
    shares_files: ClassVar = False

    def run(
        self, function: Callable[[S, T, Path], R], shared: S, tasks: Iterable[T], out: Path
    ) -> Iterator[tuple[T, R | TrainingError]]:
        """Raises ServiceError for a worker that cannot be used, and if the head node is gone."""
        kept = Storage(self.checkpoints or str(out))
        run = _Run(function, ray.put(shared), iter(tasks), out, kept, self.threads)
        try:
            yield from run.results()
        finally:
            run.cancel()


@dataclass(frozen=True)
class _Job(Generic[T]):
    """A task, and how many workers died over it."""

    task: T
    deaths: int = 0


class _Run(Generic[S, T, R]):
    """The tasks of a run while it runs."""

    def __init__(
        self,
        function: Callable[[S, T, Path], R],
        shared: ray.ObjectRef[S],
        waiting: Iterator[T],
        out: Path,
        kept: Storage,
        cores: int,
    ) -> None:
        self.function, self.shared, self.waiting = function, shared, waiting
        self.out, self.kept, self.cores = out, kept, cores
        self.again: deque[_Job[T]] = deque()
        self.running: dict[ray.ObjectRef[_Answer[R]], _Job[T]] = {}

    def results(self) -> Iterator[tuple[T, R | TrainingError]]:
        while True:
            check_head("the command again with --resume")
            while len(self.running) < room(self.cores) and (job := self._next()):
                self._start(job)
            if not self.running:
                return
            ready, _ = ray.wait(list(self.running), num_returns=1, timeout=LOOK)
            for ref in ready:
                yield from self._finished(ref, self.running.pop(ref))

    def _next(self) -> _Job[T] | None:
        if self.again:
            return self.again.popleft()
        task = next(self.waiting, None)
        return None if task is None else _Job(task)

    def _start(self, job: _Job[T]) -> None:
        perform: _Perform[S, T, R] = _perform
        remote = ray.remote(perform).options(
            num_cpus=self.cores,
            num_gpus=devices_of_worker(),
            max_retries=0,
            scheduling_strategy="SPREAD",
        )
        order = ray.put(_Order(self.function, job.task, self.kept.url, str(self.out)))
        self.running[remote.remote(version("boneseg"), [self.shared], [order])] = job

    def _finished(
        self, ref: ray.ObjectRef[_Answer[R]], job: _Job[T]
    ) -> Iterator[tuple[T, R | TrainingError]]:
        try:
            answer = ray.get(ref)
        except RayTaskError as error:
            check_installed(str(error))
            raise cause(error) from None
        except RayError:  # the worker died, or its machine
            if job.deaths < DEATHS:
                self.again.append(_Job(job.task, job.deaths + 1))
            else:
                where = self.out / job.task.name
                why = f"{DEATHS + 1} workers died over it, perhaps for lack of memory"
                yield job.task, TrainingError(f"{where}: {why}; reduce run.batch, then --resume")
            return
        self._take(job.task, answer.files)
        yield job.task, answer.outcome

    def _take(self, task: T, files: Files) -> None:
        """Write the files of a task that is done: its record last."""
        for name in sorted(files, key=lambda name: name == task.record):
            make_folder((self.out / name).parent)
            with whole_file(self.out / name) as temporary:
                temporary.write_bytes(files[name])
        if self.kept.local != self.out.absolute():
            self.kept.remove(task.name)
        elif not files:
            shutil.rmtree(self.out / task.name, ignore_errors=True)

    def cancel(self) -> None:
        for ref in self.running:
            ray.cancel(ref, force=True)


# -- in a worker ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Order(Generic[S, T, R]):
    """What a worker does. kept: URL of checkpoints. out: the run's folder, for messages."""

    function: Callable[[S, T, Path], R]
    task: T
    kept: str
    out: str


@dataclass(frozen=True)
class _Answer(Generic[R]):
    outcome: R | TrainingError
    files: dict[str, bytes]


_Perform = Callable[  # the version of the command, and what to open once that is known
    [str, list[ray.ObjectRef[S]], list[ray.ObjectRef[_Order[S, T, R]]]], _Answer[R]
]


def _perform(
    asked: str, shared: list[ray.ObjectRef[S]], orders: list[ray.ObjectRef[_Order[S, T, R]]]
) -> _Answer[R]:
    """Run a task, and return its outcome and files. Raises BonesegError."""
    check_version(version("boneseg"), asked, f"a worker on {socket.gethostname()}")
    _prepare()
    order, given = ray.get(orders[0]), ray.get(shared[0])
    with tempfile.TemporaryDirectory(prefix="boneseg-") as scratch:
        folder = Path(scratch)
        try:
            with kept_in(Storage(order.kept), order.task.name, folder):
                outcome = outcome_of(partial(order.function, given, order.task, folder))
        except BonesegError as error:
            raise _as_of(order.out, scratch, error) from None
        if isinstance(outcome, TrainingError):
            outcome = _as_of(order.out, scratch, outcome)
        found = (path for path in folder.rglob("*") if path.is_file())
        files = {str(path.relative_to(folder)): path.read_bytes() for path in found}
    return _Answer(outcome, files)


def _as_of(out: str, scratch: str, error: E) -> E:
    """An error with the run's folder in its message, instead of the temporary one."""
    error.args = tuple(str(word).replace(scratch, out) for word in error.args)
    return error


@functools.cache
def _prepare() -> None:
    """Set up the process, once."""
    runtime.start()
    runtime.ignore_interrupts()


# -- bundles --------------------------------------------------------------------------------------


def _content(bundle: Bundle) -> Files:
    return {file.name: file.read_bytes() for file in bundle.path.iterdir()}


def _bundle(content: Files) -> Bundle:
    """A bundle from another machine; its files stay until the process ends."""
    folder = Path(_bundles().name) / str(time.monotonic_ns())
    folder.mkdir()
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return load_bundle(folder)


@functools.cache
def _bundles() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="boneseg-")
