"""Jobs go to worker processes, which may die or hang without harm to the others."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from boneseg.bundle.shipped import bundled
from boneseg.server.errors import BusyError, WorkerDiedError
from boneseg.server.workers.job_queue import JobQueue, shares
from boneseg.server.workers.tasks import ReadMask, SegmentUpload
from boneseg.server.workers.worker import Worker
from tests.support.lightbox import FOOT


def test_a_crashed_worker_is_replaced_and_the_film_named(large: Path) -> None:
    jobs = JobQueue(bundled(), workers=1)
    try:
        doomed = jobs.submit(SegmentUpload(large, "large.png", "mask"))
        time.sleep(0.1)
        os.kill(jobs.pids[0], signal.SIGKILL)
        with pytest.raises(WorkerDiedError, match=r"^large.png: ended the process .*SIGKILL"):
            doomed.result(60)
        facts, _ = jobs.submit(SegmentUpload(FOOT, "foot.png", "mask")).result(60)
        assert facts.area_px > 0
        assert jobs.deaths == 1
    finally:
        jobs.close()


def test_a_worker_that_exceeds_its_timeout_is_replaced(large: Path) -> None:
    jobs = JobQueue(bundled(), timeout=0.05, workers=1)
    try:
        with pytest.raises(WorkerDiedError, match=r"^large.png: took more than 0.05 s"):
            jobs.submit(SegmentUpload(large, "large.png", "mask")).result(60)
    finally:
        jobs.close()


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_a_queue_closed_early_closes_each_pipe_once(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = JobQueue(bundled(), workers=2)  # the second worker is being started
    threads = dict(zip(jobs.workers, jobs._threads, strict=True))
    time.sleep(seconds)
    strangers: list[threading.Thread] = []
    kill = Worker.kill

    def spied(worker: Worker) -> None:
        if threads[worker].is_alive() and threads[worker] is not threading.current_thread():
            strangers.append(threading.current_thread())
        kill(worker)

    monkeypatch.setattr(Worker, "kill", spied)
    jobs.close()
    assert not strangers  # two threads that close one pipe may close a file that came after it
    assert not any(thread.is_alive() for thread in jobs._threads)
    assert not jobs.pids


def test_a_slow_film_blocks_one_worker_only(large: Path) -> None:
    jobs = JobQueue(bundled(), workers=2)
    try:
        slow = jobs.submit(SegmentUpload(large, "large.png", "mask"))
        for _ in jobs.workers[1:]:
            jobs.submit(SegmentUpload(FOOT, "foot.png", "mask")).result(60)
            assert not slow.done() or len(jobs.workers) == 1
        slow.result(60)
    finally:
        jobs.close()


@given(st.integers(1, 9))
def test_cores_are_divided_evenly_among_workers(workers: int) -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system does not tell which cores there are")
    dealt = shares(workers)
    assert 1 <= len(dealt) <= workers and all(dealt)
    assert len({len(share) for share in dealt}) == 1
    cores = [core for share in dealt for core in share]
    assert len(cores) == len(set(cores)) and set(cores) <= os.sched_getaffinity(0)
    assert len(os.sched_getaffinity(0)) - len(cores) < len(dealt)


def test_a_mask_is_saved_even_if_the_queue_is_full(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.fromarray(np.zeros((4000, 4000), np.uint8)).save(large)
    mask = tmp_path / "mask.png"
    Image.fromarray(np.eye(64, dtype=np.uint8) * 255).save(mask)
    jobs = JobQueue(bundled(), most_waiting=1, workers=1)
    try:
        first = jobs.submit(SegmentUpload(large, "large", "mask"))
        while not (first.running() or first.done()):
            time.sleep(0.01)
        second = jobs.submit(SegmentUpload(large, "large", "mask"))
        with pytest.raises(BusyError):
            jobs.submit(SegmentUpload(large, "large", "mask"))
        saved = jobs.submit(ReadMask(mask, "mask", (64, 64), uploaded=True))
        assert saved.result(60) and not second.done()  # it goes first
    finally:
        jobs.close()
