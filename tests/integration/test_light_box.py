"""The light box as programs see it: bones of a film, masks saved with a history, bad input."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from boneseg.server.retraining.records import Request, Run
from boneseg.server.retraining.runs import MOST_RESUMED, Runs
from boneseg.server.retraining.supervisor import Retraining
from boneseg.server.storage.library import Library
from boneseg.simulate import simulate
from tests.support.lightbox import BITS, COMMAND, address_of, empty, fill, rights, served


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_server_stops_with_its_workers_and_leaves_nothing(
    tmp_path: Path, how: signal.Signals
) -> None:
    call, env = [*COMMAND, "serve", "--port", "0"], os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True, env=env) as server:
        assert server.stderr is not None
        address_of(server)
        assert list(tmp_path.glob("boneseg-*"))
        server.send_signal(how)
        _, said = server.communicate(timeout=30)  # the worker holds stderr open, too
    assert "Traceback" not in said
    assert not list(tmp_path.glob("boneseg-*"))


def test_the_server_stops_while_segmenting_without_a_traceback(tmp_path: Path) -> None:
    folder = tmp_path / "films" / "images"
    folder.mkdir(parents=True)
    for number in range(8):
        Image.fromarray(np.zeros((2000, 2000), np.uint8)).save(folder / f"film{number}.png")
    call = [*COMMAND, "serve", "--port", "0", "--data", str(folder.parent)]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        address_of(server)
        wait_for(lambda: any(folder.parent.glob(".boneseg/cache/*/facts.json")))
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=30)
    assert server.returncode == 0
    assert re.fullmatch(r"\S+ INFO stopped\n", said)


# -- the end ---------------------------------------------------------------------------------------


@contextmanager
def serving(folder: Path, **how: Any) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a server on a folder, and its process."""
    call = [*COMMAND, "serve", "--port", "0", "--data", str(folder)]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True, **how) as server:
        try:
            yield address_of(server), server
        finally:
            server.terminate()


def wait_for(what: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_server_in_the_background_stops_on_sigterm_with_status_0(tmp_path: Path) -> None:
    """A script's `&` has it ignore SIGINT; a save under way at the end is finished."""
    folder = fill(tmp_path / "films", "hand")
    ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    with serving(folder, **ignoring) as (address, server):
        with httpx.Client(base_url=address, timeout=60) as client:
            row = client.get("/api/films").json()["films"][0]
            row = client.get(f"/api/films/{row['id']}").json()

            def slowly() -> Iterator[bytes]:
                content = empty(row)
                yield content[:100]
                server.send_signal(signal.SIGTERM)
                time.sleep(1)
                yield content[100:]

            mask = f"/api/films/{row['id']}/mask"
            saved = client.put(mask, content=slowly(), headers=BITS)
            assert saved.status_code == 200
        _, said = server.communicate(timeout=30)
    assert server.returncode == 0
    assert re.fullmatch(r"\S+ INFO stopped\n", said), said
    assert (folder / "masks" / "hand.png").is_file()
    assert not (folder / ".boneseg" / "spool").exists()


def test_a_killed_server_leaves_no_upload_behind(tmp_path: Path) -> None:
    folder = fill(tmp_path / "films", "hand")
    with serving(folder) as (_, server):
        server.kill()
        server.communicate(timeout=30)
    upload = folder / ".boneseg" / "spool" / ".film.dcm"
    upload.write_bytes(b"film")
    half = folder / "masks" / ".0123456789abcdef.new"
    half.write_bytes(b"half a mask")
    with served("--data", folder):
        assert not upload.exists() and not half.exists()


def test_a_training_resumes_after_a_restart_of_the_server(tmp_path: Path) -> None:
    simulate(tmp_path / "films", 6, seed=6, size=(96, 96))
    folder = tmp_path / "films" / ".boneseg" / "runs" / "0001"
    with serving(tmp_path / "films") as (address, server):
        asked = httpx.post(f"{address}api/train", json={"minutes": 1}, timeout=60)
        assert asked.status_code == 202, asked.text
        wait_for(lambda: (folder / "checkpoint.safetensors").is_file())
        server.terminate()
        server.communicate(timeout=30)
    assert server.returncode == 0
    told = json.loads((folder / "outcome.json").read_text())
    assert (told["state"], told["error"]) == ("interrupted", None)
    assert told["checks"] and told["checks"][-1]["done"] < 1
    assert (folder / "films").is_dir()
    with serving(tmp_path / "films") as (address, server):

        def run() -> dict[str, Any]:
            return httpx.get(f"{address}api/train", timeout=60).json()["run"]

        assert (run()["state"], run()["resumed"]) == ("running", 1)
        wait_for(lambda: len(run()["checks"]) > len(told["checks"]))
        done = [check["done"] for check in run()["checks"]]
        assert done == sorted(done)  # it went on from where it stood
        assert httpx.post(f"{address}api/train/stop", timeout=60).json()["state"] == "stopped"
        server.terminate()
        server.communicate(timeout=30)
    assert not (folder / "films").exists()
    assert not (folder / "checkpoint.safetensors").exists()


@pytest.mark.parametrize(("resumed", "films"), [(MOST_RESUMED, True), (0, False)])
def test_a_training_that_cannot_resume_is_reported_and_tidied(
    tmp_path: Path, resumed: int, films: bool
) -> None:
    library = Library(fill(tmp_path / "films", "hand"))
    runs, run = Runs(library.hidden / "runs"), Run(number=1, films=4, minutes=1, resumed=resumed)
    runs.prepare(run, library.root, [], Request(model="bundled"))
    runs.save(run)
    folder = runs.folder(run)
    (folder / "checkpoint.safetensors").write_bytes(b"weights")
    if not films:
        shutil.rmtree(folder / "films")
    again = Retraining(library)
    assert again.resume() is None
    assert again.run is not None and again.run.state == "interrupted"
    assert sorted(path.name for path in folder.iterdir()) == ["outcome.json", "wish.json"]


def test_a_temporary_folder_of_a_killed_server_is_removed_at_the_next_start(tmp_path: Path) -> None:
    env = os.environ | {"TMPDIR": str(tmp_path)}
    call = [*COMMAND, "serve", "--port", "0"]
    how = {"stderr": subprocess.PIPE, "text": True, "env": env}
    with subprocess.Popen(call, **how) as killed, subprocess.Popen(call, **how) as running:
        address_of(killed)
        address_of(running)
        before = set(tmp_path.glob("boneseg-*"))
        assert len(before) == 2 and {rights(folder) for folder in before} == {0o700}
        killed.kill()
        killed.wait(30)
        with subprocess.Popen(call, **how) as third:
            address_of(third)
            left = before & set(tmp_path.glob("boneseg-*"))
            third.terminate()
        running.terminate()
    assert len(left) == 1  # of the one that still ran
    assert not list(tmp_path.glob("boneseg-*"))
