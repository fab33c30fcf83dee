"""Retraining: one run at a time, in a separate process; the user decides whether to use its model.

DATA/.boneseg/runs/0001/    wish.json, films/ (as accepted at the start), bundle/, report.html,
                            outcome.json

An interrupted run keeps its films and its last checkpoint, and is resumed by
the next server on the folder.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from boneseg._util.files import real_path, unwritable, whole_file
from boneseg.bundle.store import CARD
from boneseg.errors import OutputError
from boneseg.server.errors import ConflictError, NotFoundError, ServerError
from boneseg.server.storage.library import Entry, Library

FEWEST = 4  # accepted films: two for training, one for validation, one held out
OUTCOME, WISH = "outcome.json", "wish.json"
MOST_RESUMED = 3
TABLES = ("groups.csv", "parts.csv")


@dataclass
class Run:
    """The state or the result of a retraining."""

    number: int
    folder: Path
    films: int
    minutes: float
    state: Literal["running", "done", "failed", "stopped", "interrupted"] = "running"
    stage: str = "starting"
    checks: list[dict[str, float]] = field(default_factory=list)
    held_back: int | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    error: str | None = None
    used: bool = False
    resumed: int = 0  # how often it was resumed

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "films": self.films,
            "minutes": self.minutes,
            "state": self.state,
            "stage": self.stage,
            "checks": self.checks,
            "held_back": self.held_back,
            "before": self.before,
            "after": self.after,
            "error": self.error,
            "used": self.used,
            "resumed": self.resumed,
        }

    @property
    def can_resume(self) -> bool:
        """Whether the run can be resumed: at most MOST_RESUMED times, as it may be at fault."""
        there = (self.folder / "films").is_dir() and (self.folder / WISH).is_file()
        return self.state == "interrupted" and there and self.resumed < MOST_RESUMED

    def keep(self) -> None:
        """Save the state for the next start of the server."""
        with suppress(OutputError), whole_file(self.folder / OUTCOME) as temporary:
            temporary.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")


class Retraining:
    """Starts, follows and stops runs. Thread-safe."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.root = library.hidden / "runs"
        self.run: Run | None = _last_run(self.root)
        for folder in _folders(self.root):  # left by a killed server
            if self.run is None or self.run.folder != folder or not self.run.can_resume:
                _tidy(folder)
        self._process: subprocess.Popen[str] | None = None
        self._follower: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self, model: Path, minutes: float, settings: Sequence[str] = ()) -> Run:
        """Retrain `model` on the accepted films; `settings` as for `boneseg train --set`.

        Raises ConflictError where a run is active or too few films are accepted, and ServerError
        where torch is missing.
        """
        if importlib.util.find_spec("torch") is None:
            raise ServerError("torch is not installed; pip install 'boneseg[train]'")
        with self._lock:
            if self.run is not None and self.run.state == "running":
                raise ConflictError("a training is running; stop it, or wait for it to end")
            films = self.library.accepted()
            if len(films) < FEWEST:
                raise ConflictError(
                    f"accepted films: {len(films)}; accept at least {FEWEST} to retrain"
                )
            number = self._next()
            folder = self.root / f"{number:04}"
            asked = [f"run.minutes={minutes}", *settings]
            wish = {"model": str(real_path(model)), "settings": asked}
            lay_out(folder, self.library.root, films, wish)
            self.run = Run(number, folder, len(films), minutes)
            self._begin(self.run)
            return self.run

    def resume(self) -> Run | None:
        """Resume the interrupted run from its last checkpoint.

        None where there is no such run, or torch is missing.
        """
        with self._lock:
            run = self.run
            if run is None or not run.can_resume or importlib.util.find_spec("torch") is None:
                return None
            run.state, run.stage, run.resumed = "running", "starting", run.resumed + 1
            self._begin(run)
            return run

    def _begin(self, run: Run) -> None:
        run.keep()
        call = [sys.executable, "-m", "boneseg.server.retraining.process", str(run.folder)]
        with (run.folder / "log.txt").open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                call,
                stdin=subprocess.PIPE,  # closing it ends the process: see study.py
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is for the server
            )
        follow = (self._process, run)
        self._follower = threading.Thread(target=self._follow, args=follow, name="run", daemon=True)
        self._follower.start()

    def stop(self) -> Run:
        """Stop the run; the current model stays in use."""
        with self._lock:
            if self.run is None or self.run.state != "running" or self._process is None:
                raise ConflictError("no training is running")
            self.run.state = "stopped"
            self._process.kill()
            return self.run

    def offered(self, number: int) -> Run:
        """The finished run of this number. Raises NotFoundError."""
        run = self.run
        if run is None or run.number != number or run.state != "done":
            raise NotFoundError(f"run {number}: no such finished training")
        return run

    def close(self) -> None:
        """Interrupt the run; the next server resumes it."""
        if self._process is not None and self._process.poll() is None:
            if self.run is not None and self.run.state == "running":
                self.run.state = "interrupted"
            self._process.kill()
            self._process.wait(10)
        if self._follower is not None:  # it saves the run's state
            self._follower.join(10)

    def _next(self) -> int:
        return max((int(folder.name) for folder in _folders(self.root)), default=0) + 1

    def _follow(self, process: subprocess.Popen[str], run: Run) -> None:
        lines: IO[str] | None = process.stdout
        for line in lines or ():
            with suppress(ValueError):
                self._hear(run, json.loads(line))
        status = process.wait()
        if run.state == "running":
            if run.after is not None and status == 0:
                run.state, run.stage = "done", "done"
            else:
                run.state = "failed"
                run.error = run.error or _last_words(run.folder / "log.txt", status)
        run.keep()
        if not run.can_resume:
            _tidy(run.folder)

    def _hear(self, run: Run, told: dict[str, Any]) -> None:
        run.stage = told.get("stage", run.stage)
        run.held_back = told.get("held_back", run.held_back)
        run.before = told.get("before", run.before)
        run.error = told.get("error", run.error)
        if "check" in told:
            run.checks.append(told["check"])
        if "outcome" in told:
            run.after = told["outcome"]["after"]


def _last_run(root: Path) -> Run | None:
    """The newest run if it was interrupted, else the newest with a model."""
    folders = _folders(root)
    for folder in reversed(folders):
        with suppress(OSError, ValueError, TypeError):
            told = json.loads((folder / OUTCOME).read_text(encoding="utf-8"))
            run = Run(folder=folder, **told)
            if run.state == "running":  # when the server was killed
                run.state = "interrupted"
            if run.state == "interrupted" and folder == folders[-1]:
                return run
            if run.state == "done" and (run.bundle / CARD).is_file():
                return run
    return None


def _folders(root: Path) -> list[Path]:
    """The folders of all runs, oldest first."""
    with suppress(OSError):
        return sorted(path for path in root.iterdir() if path.name.isdigit())
    return []


def _tidy(folder: Path) -> None:
    """Remove the files that only an active run needs."""
    shutil.rmtree(folder / "films", ignore_errors=True)
    with suppress(OSError):
        (folder / "checkpoint.safetensors").unlink()


def lay_out(folder: Path, root: Path, films: list[Entry], wish: dict[str, Any]) -> None:
    """Make a run's folder with a snapshot of the accepted films. Raises OutputError."""
    images, masks = folder / "films" / "images", folder / "films" / "masks"
    try:
        images.mkdir(parents=True)
        masks.mkdir()
        for entry in films:
            if entry.mask is not None:
                _linked(entry.image, images / entry.image.name)
                shutil.copyfile(entry.mask, masks / f"{entry.name}{entry.mask.suffix}")
        for table in TABLES:
            if (root / table).is_file():
                shutil.copyfile(root / table, folder / "films" / table)
        (folder / WISH).write_text(json.dumps(wish, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise unwritable(folder, error) from None


def _linked(path: Path, link: Path) -> None:
    try:
        link.symlink_to(real_path(path))
    except OSError:  # no permission to make links (Windows)
        if link.exists() or not os.access(link.parent, os.W_OK):
            raise
        shutil.copyfile(path, link)


def _last_words(log: Path, status: int) -> str:
    words = ""
    with suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        words = f" ({lines[-1][:200]})" if lines else ""
    reason = "was killed, perhaps for lack of memory" if status == -9 else f"failed ({status})"
    return f"the training {reason}{words}; the current model stays in use"
