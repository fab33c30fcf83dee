"""Processes that train beside one another, and never outlive the one that started them.

with workers(2, out) as pool:
    pool.submit(train_one_fold, task)
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread

from boneseg.errors import TrainingError


@contextmanager
def workers(count: int, out: Path) -> Iterator[ProcessPoolExecutor]:
    """A pool of `count` processes for the run in `out`.

    They end when the block does, and when this process does, be it by kill -9. Where the block is
    left by an error, what they are at is given up. Raises TrainingError where one of them is ended
    from outside.
    """
    context = get_context("spawn")
    leash, held = context.Pipe(duplex=False)  # nobody writes: it is at its end once `held` is shut
    pool = ProcessPoolExecutor(count, context, initializer=_follow, initargs=(leash,))
    try:
        yield pool
    except BaseException as error:
        held.close()  # or the end of what they are at would be waited for
        if isinstance(error, BrokenProcessPool):
            raise TrainingError(
                f"{out}: a worker was ended from outside, perhaps for want of memory; "
                "go on with --resume, or a smaller --parallel"
            ) from None
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        held.close()
        leash.close()


def _follow(leash: Connection) -> None:
    """End this process when the other end of the leash is let go."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides
    Thread(target=_wait, args=(leash,), daemon=True).start()


def _wait(leash: Connection) -> None:
    leash.poll(None)
    os._exit(1)  # the main thread may be deep in torch, and hears of nothing
