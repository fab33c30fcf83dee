"""Pools of worker processes that never outlive their parent.

with workers(2, out) as pool:
    pool.submit(train_one_fold, task)

with workers(2, out, films) as pool:                       # each worker gets `films` once
    pool.submit(with_shared, train_one_fold, task, out)    # train_one_fold(films, task, out)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar, TypeVarTuple

from boneseg._util import runtime
from boneseg._util.quiet import undecided_start_method, with_variable
from boneseg.errors import TrainingError

S = TypeVar("S")
Ts = TypeVarTuple("Ts")
R = TypeVar("R")

_shared: Any = None  # in a worker: the argument that all its tasks share


@contextmanager
def workers(
    count: int, out: Path, shared: object = None, option: str = "--parallel"
) -> Iterator[ProcessPoolExecutor]:
    """A pool of `count` processes for the run in `out`; each gets `shared` once, pickled.

    They end with the block, and with this process, even by SIGKILL. Where the block is left by an
    error, their work is aborted. Raises TrainingError where a worker is killed; it advises a
    smaller value of `option`.
    """
    # Python would import modules from the current folder first, which may be somebody else's.
    with with_variable("PYTHONSAFEPATH", "1"), undecided_start_method():
        context = get_context("spawn")
        parent, held = context.Pipe(duplex=False)  # never written: reports EOF once it is closed
        pool = ProcessPoolExecutor(count, context, initializer=_start, initargs=(parent, shared))
        try:
            yield pool
        except BaseException as error:
            held.close()  # otherwise shutdown waits for their work
            if isinstance(error, BrokenProcessPool):
                raise TrainingError(
                    f"{out}: a worker was killed, perhaps for lack of memory; "
                    f"continue with --resume, or use a smaller {option}"
                ) from None
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            held.close()
            parent.close()


def with_shared(function: Callable[[S, *Ts], R], *rest: *Ts) -> R:
    """In a worker: call a function with the shared argument and the rest."""
    return function(_shared, *rest)


def _start(parent: Connection, shared: object) -> None:
    """Keep the shared argument; exit this process when the parent closes its end of the pipe."""
    global _shared
    _shared = shared
    runtime.start()
    runtime.ignore_interrupts()
    Thread(target=_wait, args=(parent,), daemon=True).start()


def _wait(parent: Connection) -> None:
    parent.poll(None)
    os._exit(1)  # the main thread may be busy in torch
