"""Pools of worker processes that never outlive their parent.

with workers(2, out) as pool:
    pool.submit(train_one_fold, task)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread

from boneseg._util import runtime
from boneseg.errors import TrainingError


@contextmanager
def workers(count: int, out: Path) -> Iterator[ProcessPoolExecutor]:
    """A pool of `count` processes for the run in `out`.

    They end with the block, and with this process, even by SIGKILL. Where the block is left by an
    error, their work is aborted. Raises TrainingError where a worker is killed.
    """
    context = get_context("spawn")
    leash, held = context.Pipe(duplex=False)  # never written: reports EOF once `held` is closed
    pool = ProcessPoolExecutor(count, context, initializer=_follow, initargs=(leash,))
    try:
        yield pool
    except BaseException as error:
        held.close()  # otherwise shutdown waits for their work
        if isinstance(error, BrokenProcessPool):
            raise TrainingError(
                f"{out}: a worker was killed, perhaps for lack of memory; "
                "continue with --resume, or use a smaller --parallel"
            ) from None
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        held.close()
        leash.close()


def _follow(leash: Connection) -> None:
    """Exit this process when the other end of the leash is closed."""
    runtime.start()
    runtime.ignore_interrupts()
    Thread(target=_wait, args=(leash,), daemon=True).start()


def _wait(leash: Connection) -> None:
    leash.poll(None)
    os._exit(1)  # the main thread may be busy in torch
