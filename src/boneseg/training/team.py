"""The processes of a training: started, joined, and ended together.

    with meeting(places) as places, team(places, out, task, follow) as ranks:
        ...                                   # follow(task, place) runs in each other process

Each process ends soon after any other has ended or cannot be reached, whatever it waits for.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import torch
from torch import distributed
from torch._C._distributed_c10d import FileStore, PrefixStore, Store, TCPStore

from boneseg._util import logs
from boneseg._util.processes import with_shared, workers
from boneseg.errors import BonesegError, TrainingError
from boneseg.training.device import training_device
from boneseg.training.placement import Place
from boneseg.training.ranks import LOST, Ranks, collective

JOINING = 300.0  # seconds within which all processes have to start
STEP = 1800.0  # seconds that a process waits for another that is alive
BEAT = 2.0  # seconds between signs of life to other machines
SILENCE = 15.0  # seconds without one after which a process counts as lost
GRACE = 5.0  # seconds in which a process may end by itself after another is lost

T = TypeVar("T")
Lost = Callable[[str], None]  # called with the reason


@contextmanager
def meeting(places: Sequence[Place]) -> Iterator[Sequence[Place]]:
    """The places, which all know where they meet: a file, if they are on one machine."""
    if len(places) == 1 or places[0].meeting:
        yield places
        return
    with tempfile.TemporaryDirectory() as folder:
        where = (Path(folder) / "meeting").as_uri()
        yield [replace(place, meeting=where) for place in places]


@contextmanager
def team(
    places: Sequence[Place], out: Path, task: T, follow: Callable[[T, Place], None]
) -> Iterator[Ranks]:
    """Join the training of `out`, and run follow(task, place) at the places after the first.

    Raises TrainingError if a process is lost, or what is raised in one that was started here.
    """
    if len(places) == 1:
        with joined(places[0]) as ranks:
            yield ranks
        return
    with workers(len(places) - 1, out, task, "--devices") as pool:
        running = [pool.submit(with_shared, follow, place) for place in places[1:]]
        try:
            with _watch() as lost:
                for each in running:
                    each.add_done_callback(lambda done: _report(done, lost))
                with joined(places[0]) as ranks:
                    yield ranks
        except TrainingError:
            _raise_first(running)
            raise
        _raise_first(running)


def _report(done: Future[None], lost: Lost) -> None:
    error = None if done.cancelled() else done.exception()
    if error is not None:
        lost(str(error) if isinstance(error, BonesegError) else LOST)


def _raise_first(running: Sequence[Future[None]]) -> None:
    """Raise what a process has raised, and only then that another has lost it."""
    raised = []
    for each in running:
        with suppress(TimeoutError):
            raised.append(each.exception(GRACE))
    found = [error for error in raised if error is not None]
    for error in sorted(found, key=lambda one: str(one) == LOST):
        raise error


@contextmanager
def joined(place: Place, *, quiet: bool = False) -> Iterator[Ranks]:
    """Join the other processes, if any. quiet: say nothing if one is lost.

    Raises TrainingError if one does not join, or is lost.
    """
    if place.count == 1:
        yield Ranks()
        return
    device = training_device(place.local)
    cuda = device.type == "cuda"
    store = _store(place)
    _call_the_roll(store, place)
    with collective():
        distributed.init_process_group(
            "nccl" if cuda else "gloo",
            store=store,
            rank=place.rank,
            world_size=place.count,
            timeout=timedelta(seconds=STEP),
        )
    try:
        with (
            _watch(quiet) as lost,
            nullcontext() if place.meeting.startswith("file:") else _signs(place, lost),
            torch.cuda.device(device) if cuda else nullcontext(),
        ):
            yield Ranks(place.rank, place.count, device)
            with collective():
                distributed.barrier()
    finally:
        distributed.destroy_process_group()


def _store(place: Place) -> Store:
    """The key-value store through which the processes find one another."""
    where = urlsplit(place.meeting)
    if where.scheme == "file":
        return FileStore(url2pathname(where.path), place.count)
    host, port = where.hostname or "", where.port or 0
    found: Queue[Store | None] = Queue()

    def connect() -> None:
        try:
            store = TCPStore(
                host,
                port,
                is_master=place.serves,
                timeout=timedelta(seconds=JOINING),
                wait_for_workers=False,
            )
        except RuntimeError:
            found.put(None)
        else:
            found.put(PrefixStore(f"boneseg/{place.attempt}", store))

    # Another program at the port may never answer, which PyTorch's own timeout does not cover.
    Thread(target=connect, daemon=True).start()
    store = None
    with suppress(Empty):
        store = found.get(timeout=JOINING + GRACE)
    if store is None:
        raise TrainingError(
            f"port {port}: is in use on this machine; set MASTER_PORT to another, on all machines"
            if place.serves
            else f"{host}:{port}: process 0 of this training cannot be reached; check that it is "
            "started, MASTER_ADDR and MASTER_PORT, and the firewall"
        )
    return store


def _call_the_roll(store: Store, place: Place) -> None:
    """Wait for all processes. Raises TrainingError that names those that are missing."""
    names = [f"joined/{rank}" for rank in range(place.count)]
    try:
        store.set(names[place.rank], "")
        store.wait(names, timedelta(seconds=JOINING))
    except RuntimeError:
        missing = LOST
        with suppress(RuntimeError):
            absent = [str(rank) for rank, name in enumerate(names) if not store.check([name])]
            missing = (
                f"of {place.count} processes, {', '.join(absent)} did not join within "
                f"{JOINING / 60:.0f} minutes; start all of them"
            )
        raise TrainingError(missing) from None


@contextmanager
def _signs(place: Place, lost: Lost) -> Iterator[None]:
    """Show other machines that this process is alive, and watch theirs.

    The kernel closes the connections of a killed process, but not those of a lost machine, and a
    GPU waits for another forever.
    """
    heard = [time.monotonic()] * place.count  # when each last gave a sign
    over = Event()

    def watch() -> None:
        while not over.wait(BEAT):
            if time.monotonic() - min(heard) > SILENCE:
                lost(LOST)
                return

    threads = [
        Thread(target=watch, daemon=True),
        Thread(target=_give_signs, args=(place, heard, over), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:  # the store must not be in use when Python ends
            thread.join(GRACE)


def _give_signs(place: Place, heard: list[float], over: Event) -> None:
    """Count signs of life in the store, which blocks if its machine is lost."""
    names = [f"alive/{rank}" for rank in range(place.count)]
    with suppress(RuntimeError, TrainingError):
        store = _store(replace(place, serves=False))
        before = [-1] * place.count
        while not over.wait(BEAT):
            store.add(names[place.rank], 1)
            found = [store.add(name, 0) for name in names]
            for rank, count in enumerate(found):
                if count != before[rank]:
                    heard[rank] = time.monotonic()
            before = found


@contextmanager
def _watch(quiet: bool = False) -> Iterator[Lost]:
    """Let a function end this process with one line, if the block does not end first."""
    over = Event()

    def wait(reason: str) -> None:
        if not over.wait(GRACE):
            if not quiet:
                logs.error(reason)
            os._exit(1)

    def lost(reason: str) -> None:
        Thread(target=wait, args=(reason,), daemon=True).start()

    try:
        yield lost
    finally:
        over.set()
