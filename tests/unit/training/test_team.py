"""Processes of a training find one another, and end together, each with one line at most."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from threading import Event

import pytest
from torch._C._distributed_c10d import FileStore

from boneseg.dataset.open import Dataset
from boneseg.errors import TrainingError
from boneseg.training import loop as training
from boneseg.training import team
from boneseg.training.history import Check
from boneseg.training.placement import Place
from boneseg.training.ranks import LOST
from boneseg.training.train import train
from tests.support.training import SMALL, recipe

LONG = recipe("network.levels=3", "run.epochs=500", "run.batch=4", "run.guard=false")


@pytest.fixture
def port() -> Iterator[int]:
    """A port in use."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_process_that_is_killed_ends_the_run_with_one_line(
    phantoms: Dataset, tmp_path: Path
) -> None:
    killed = []

    def kill(check: Check) -> None:
        if not killed:
            killed.append(time.monotonic())
            for child in active_children():
                child.kill()

    with pytest.raises(TrainingError) as caught:
        train(phantoms, LONG, tmp_path, places=[Place(0, 2), Place(1, 2, 1)], report=kill)
    assert time.monotonic() - killed[0] < 30
    line = "a worker was killed, perhaps for lack of memory; continue with --resume, or use a "
    assert str(caught.value) == f"{tmp_path}: {line}smaller --devices"


@pytest.mark.slow
def test_processes_of_a_launcher_end_when_the_first_is_killed(
    phantoms: Dataset, tmp_path: Path
) -> None:
    """Started as torchrun and srun do."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = str(server.getsockname()[1])
    call = [sys.executable, "-m", "boneseg", "train", str(phantoms.root)]
    call += ["--out", str(tmp_path / "run")]
    for setting in [*SMALL, "network.levels=3", "run.epochs=500", "run.guard=false"]:
        call += ["--set", setting]
    given = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free}
    both = [
        subprocess.Popen(
            call,
            env=os.environ | given | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    until = time.monotonic() + 300
    try:
        while not (tmp_path / "run" / training.CHECKPOINT).exists():
            assert [process.poll() for process in both] == [None, None]
            assert time.monotonic() < until
            time.sleep(0.05)
        both[0].send_signal(signal.SIGKILL)
        out, lines = both[1].communicate(timeout=30)
    finally:
        for process in both:
            process.kill()
            process.communicate()
    assert both[1].returncode == 1
    assert out == ""
    assert lines == f"error: {LOST}\n"


def test_a_process_that_does_not_join_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(team, "JOINING", 0.5)
    store = FileStore(str(tmp_path / "store"), 3)
    store.set("joined/1", "")
    with pytest.raises(TrainingError, match="of 3 processes, 2 did not join within"):
        team._call_the_roll(store, Place(0, 3))


def test_a_port_in_use_is_one_line(port: int) -> None:
    with pytest.raises(TrainingError, match=rf"port {port}: is in use on this machine; set MASTER"):
        team._store(Place(0, 2, meeting=f"tcp://127.0.0.1:{port}", serves=True))


def test_a_first_process_that_cannot_be_reached_is_one_line(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program listens there, and says nothing."""
    monkeypatch.setattr(team, "JOINING", 0.2)
    monkeypatch.setattr(team, "GRACE", 0.2)
    with pytest.raises(TrainingError, match=rf"127\.0\.0\.1:{port}: process 0 .* be reached"):
        team._store(Place(1, 2, meeting=f"tcp://127.0.0.1:{port}"))


def test_a_machine_that_falls_silent_counts_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its connections stay open, as those of a machine without power do."""
    monkeypatch.setattr(team, "BEAT", 0.05)
    monkeypatch.setattr(team, "SILENCE", 1.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    first = Place(0, 2, meeting=f"tcp://127.0.0.1:{free}", serves=True)
    store = team._store(first)
    said: list[str] = []
    with team._signs(first, said.append):
        for _ in range(40):
            store.add("alive/1", 1)
            time.sleep(0.05)
        assert said == []
        given_up = time.monotonic() + 10
        while not said and time.monotonic() < given_up:
            time.sleep(0.05)
    assert said == [LOST]


def test_a_process_that_waits_for_a_lost_one_is_ended(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(team, "GRACE", 0.05)
    ended = Event()
    monkeypatch.setattr(team.os, "_exit", lambda status: ended.set())
    with team._watch() as lost:
        lost("process 1 was lost")
        assert ended.wait(10)
    assert capsys.readouterr().err == "error: process 1 was lost\n"
    ended.clear()
    with team._watch() as lost:
        lost("it ends by itself in time")
    assert not ended.wait(0.2)


def test_places_on_one_machine_meet_in_a_file() -> None:
    places = [Place(0, 2), Place(1, 2)]
    with team.meeting(places) as met:
        assert len({place.meeting for place in met}) == 1
        assert met[0].meeting.startswith("file:")
    elsewhere = [replace(place, meeting="tcp://node1:29500") for place in places]
    with team.meeting(elsewhere) as met:
        assert list(met) == elsewhere
