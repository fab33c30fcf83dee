"""Runs of retraining, those of a server that has ended included."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from boneseg._util.files import own_folder
from boneseg.bundle.shipped import bundled
from boneseg.server.retraining.records import Request, Run
from boneseg.server.retraining.runs import Runs
from boneseg.server.retraining.supervisor import Retraining
from boneseg.server.storage.library import Library
from tests.support.lightbox import fill

# -- what goes over the line, and what comes next -------------------------------------------------


def test_a_training_may_write_into_the_prepared_folder(tmp_path: Path) -> None:
    library = Library(fill(tmp_path / "films", "hand"))
    runs, run = Runs(tmp_path), Run(number=1, films=1, minutes=1)
    runs.prepare(run, library.root, library.entries(), Request(model="bundled"))
    own_folder(runs.folder(run), "checkpoint.safetensors", resume=False)


def test_a_finished_run_is_offered_after_a_restart(tmp_path: Path) -> None:
    library = Library(fill(tmp_path / "films", "hand"))
    runs = Runs(library.hidden / "runs")
    for number, state in ((1, "done"), (2, "done"), (3, "stopped")):
        run = Run(number=number, films=12, minutes=1, state=state)
        runs.folder(run).mkdir(parents=True)
        runs.save(run)
        if number == 1:
            shutil.copytree(bundled(), runs.bundle(run))
    assert Retraining(library).finished(1).films == 12  # the second has lost its model
    (runs.root / "0001" / "outcome.json").write_text("{")
    assert Retraining(library).run is None


def test_a_run_whose_server_ended_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(fill(tmp_path / "films", "hand"))
    monkeypatch.setattr(library, "accepted", lambda: library.entries() * 4)
    before = Retraining(library)
    folder = before.runs.folder(before.start(bundled(), 1))
    killed = (folder / "outcome.json").read_bytes()
    before.close()
    for content in (None, killed):
        if content is not None:
            (folder / "outcome.json").write_bytes(content)
        run = Retraining(library).run
        assert run is not None and (run.state, run.films) == ("interrupted", 4)
    folder.with_name("0002").mkdir()
    assert Retraining(library).run is None  # it is not the last any more


def test_a_run_of_a_killed_server_leaves_no_films_and_no_weights(tmp_path: Path) -> None:
    library = Library(tmp_path / "films")
    runs, run = Runs(library.hidden / "runs"), Run(number=1, films=0, minutes=1)
    runs.prepare(run, library.root, [], Request(model="bundled"))
    folder = runs.folder(run)
    (folder / "checkpoint.safetensors").write_bytes(b"weights")
    Retraining(library)
    assert [path.name for path in folder.iterdir()] == ["wish.json"]
