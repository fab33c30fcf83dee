"""Where the tasks of an experiment run: in this process, in others, or elsewhere.

    for task, outcome in pool.run(train_one_fold, films, tasks, out):
        ...    # what train_one_fold(films, task, out) returned, or the TrainingError it raised

A task is taken from `tasks` when there is room for it, so that a search can choose it by then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

from boneseg._util.processes import with_shared, workers
from boneseg.errors import TrainingError, UsageError


class Task(Protocol):
    """A part of an experiment, which can be resumed from the files it has written."""

    @property
    def name(self) -> str:
        """The folder of its files, below that of the run."""

    @property
    def record(self) -> str:
        """The file, below that of the run, that is written last and makes it done."""


S = TypeVar("S")
T = TypeVar("T", bound=Task)
R = TypeVar("R")


class Pool(Protocol):
    """Runs tasks.

    threads: of a task; None: as many as this process has. in_process: whether tasks run in this
    process, and can call it back. shares_files: whether they can open temporary files of it.
    """

    @property
    def threads(self) -> int | None: ...

    @property
    def in_process(self) -> bool: ...

    @property
    def shares_files(self) -> bool: ...

    def run(
        self, function: Callable[[S, T, Path], R], shared: S, tasks: Iterable[T], out: Path
    ) -> Iterator[tuple[T, R | TrainingError]]:
        """Call a function with `shared`, each task and the run's folder; yields as they finish.

        Other errors than TrainingError end the whole run.
        """


class InProcess:
    """Runs tasks in this process, one after another."""

    threads: ClassVar = None
    in_process: ClassVar = True
    shares_files: ClassVar = False

    def run(
        self, function: Callable[[S, T, Path], R], shared: S, tasks: Iterable[T], out: Path
    ) -> Iterator[tuple[T, R | TrainingError]]:
        for task in tasks:
            yield task, outcome_of(partial(function, shared, task, out))


@dataclass(frozen=True)
class Processes:
    """Runs `count` tasks at once, in processes that divide the cores among them."""

    count: int
    in_process: ClassVar = False
    shares_files: ClassVar = True

    @property
    def threads(self) -> int:
        return max(1, (os.cpu_count() or 1) // self.count)

    def run(
        self, function: Callable[[S, T, Path], R], shared: S, tasks: Iterable[T], out: Path
    ) -> Iterator[tuple[T, R | TrainingError]]:
        """Raises TrainingError where a process is killed."""
        waiting = iter(tasks)
        running: dict[Future[R], T] = {}
        with workers(self.count, out, shared) as pool:
            while True:
                while len(running) < self.count and (task := next(waiting, None)) is not None:
                    running[pool.submit(with_shared, function, task, out)] = task
                if not running:
                    return
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(done), outcome_of(done.result)


def local_pool(parallel: int) -> Pool:
    """The pool for so many tasks at once on this machine. Raises UsageError."""
    if parallel < 1:
        raise UsageError(f"--parallel {parallel}: give 1 or more")
    return InProcess() if parallel == 1 else Processes(parallel)


def outcome_of(call: Callable[[], R]) -> R | TrainingError:
    """What a call returns, or its TrainingError."""
    try:
        return call()
    except TrainingError as error:
        return error
