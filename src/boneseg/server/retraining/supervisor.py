"""Starts, follows, resumes and stops the process of a retraining, one at a time.

The user decides whether to use its model. An interrupted run keeps its films and its last
checkpoint, and is resumed by the next server on the folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from boneseg._util.extras import is_installed
from boneseg._util.files import own_file, read_json, real_path
from boneseg.server.errors import ConflictError, NotFoundError, ServerError
from boneseg.server.retraining.records import Message, Request, Run
from boneseg.server.retraining.runs import LOG, Runs
from boneseg.server.storage.library import Library

FEWEST_FILMS = 4  # accepted films: two for training, one for validation, one held out


class Retraining:
    """The runs of a library. Thread-safe."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.runs = Runs(library.hidden / "runs")
        self.run: Run | None = self.runs.latest()
        resumable = self.run if self.run is not None and self.runs.can_resume(self.run) else None
        self.runs.tidy(kept=resumable)  # left by a killed server
        self._process: subprocess.Popen[str] | None = None
        self._follower: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self, model: Path, minutes: float, settings: Sequence[str] = ()) -> Run:
        """Retrain `model` on the accepted films; `settings` as for `boneseg train --set`.

        Raises ConflictError where a run is active or too few films are accepted, ServerError where
        torch is missing, and OutputError.
        """
        if not is_installed("torch"):
            raise ServerError("PyTorch is not installed on this server, so it cannot train")
        with self._lock:
            if self.run is not None and self.run.state == "running":
                raise ConflictError("a training is running; stop it, or wait for it to end")
            films = self.library.accepted()
            if len(films) < FEWEST_FILMS:
                raise ConflictError(
                    f"accepted films: {len(films)}; accept at least {FEWEST_FILMS} to retrain"
                )
            run = Run(number=self.runs.next_number(), films=len(films), minutes=minutes)
            request = Request(
                model=str(real_path(model)),
                settings=[f"run.minutes={minutes}", *settings],
                drawn=[film.name for film in films if self.library.is_drawn(film)],
            )
            self.runs.prepare(run, self.library.root, films, request)
            self.run = run
            self._begin(run)
            return run

    def resume(self) -> Run | None:
        """Resume the interrupted run from its last checkpoint.

        None where there is no such run, or torch is missing.
        """
        with self._lock:
            run = self.run
            if run is None or not self.runs.can_resume(run) or not is_installed("torch"):
                return None
            run.state, run.stage, run.resumed = "running", "starting", run.resumed + 1
            self._begin(run)
            return run

    def _begin(self, run: Run) -> None:
        self.runs.save(run)
        folder = self.runs.folder(run)
        with os.fdopen(own_file(folder / LOG, os.O_APPEND), "a", encoding="utf-8") as log:
            process = self._process = subprocess.Popen(  # -P: not from the folder it starts in
                [sys.executable, "-P", "-m", "boneseg.server.retraining.process", str(folder)],
                stdin=subprocess.PIPE,  # closing it ends the process
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is for the server
            )
        self._follower = threading.Thread(
            target=self._follow, args=(process, run), name="run", daemon=True
        )
        self._follower.start()

    def stop(self) -> Run:
        """Stop the run; the current model stays in use. Raises ConflictError."""
        with self._lock:
            if self.run is None or self.run.state != "running" or self._process is None:
                raise ConflictError("no training is running")
            self.run.state = "stopped"
            self._process.kill()
            return self.run

    def finished(self, number: int) -> Run:
        """The finished run of this number. Raises NotFoundError."""
        latest = [] if self.run is None or self.run.state != "done" else [self.run]
        for run in (*latest, *self.runs.finished()):
            if run.number == number:
                return run
        raise NotFoundError(f"run {number}: no such finished training")

    def close(self) -> None:
        """Interrupt the run; the next server resumes it."""
        if self._process is not None and self._process.poll() is None:
            if self.run is not None and self.run.state == "running":
                self.run.state = "interrupted"
            self._process.kill()
            self._process.wait(10)
        if self._follower is not None:  # it saves the run's state
            self._follower.join(10)

    def _follow(self, process: subprocess.Popen[str], run: Run) -> None:
        """Receive the messages of the process until it ends, then store the result."""
        assert process.stdout is not None
        for line in process.stdout:
            with suppress(ValueError):  # a library may print something else
                run.receive(Message.model_validate(read_json(line)))
        status = process.wait()
        if run.state == "running":
            if run.finished and status == 0:
                run.state, run.stage = "done", "done"
            else:
                run.error = run.error or _reason(self.runs.folder(run) / LOG, status)
                run.state = "failed"  # last: who sees it finds the error
        self.runs.end(run)


def _reason(log: Path, status: int) -> str:
    """Why a process failed, with the last line of its log."""
    detail = ""
    with suppress(OSError):
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        detail = f" ({lines[-1][:200]})" if lines else ""
    reason = "was killed, perhaps for lack of memory" if status == -9 else f"failed ({status})"
    return f"the training {reason}{detail}; the current model stays in use"
