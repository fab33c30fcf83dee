"""The folder of all retrainings: DATA/.boneseg/runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from boneseg._util.files import real_path, unwritable
from boneseg.bundle.card import CARD
from boneseg.errors import OutputError
from boneseg.server.retraining.records import Request, Run
from boneseg.server.storage.entry import Entry

RUN, REQUEST, LOG = "outcome.json", "wish.json", "log.txt"
HELD_OUT = "held-back.json"
FILMS, CHECKPOINT = "films", "checkpoint.safetensors"
TABLES = ("groups.csv", "parts.csv")
MOST_RESUMED = 3


@dataclass(frozen=True)
class Runs:
    """The runs of one data folder, each in a folder named by its number."""

    root: Path

    def folder(self, run: Run) -> Path:
        return self.root / f"{run.number:04}"

    def bundle(self, run: Run) -> Path:
        """The folder of the model that a run has trained."""
        return self.folder(run) / "bundle"

    def next_number(self) -> int:
        return max((int(folder.name) for folder in self._folders()), default=0) + 1

    def save(self, run: Run) -> None:
        """Store the state of a run for the next start of the server, if there is space."""
        with suppress(OutputError):
            run.write(self.folder(run) / RUN)

    def can_resume(self, run: Run) -> bool:
        """Whether a run can be resumed: at most MOST_RESUMED times, as it may be at fault."""
        folder = self.folder(run)
        complete = (folder / FILMS).is_dir() and (folder / REQUEST).is_file()
        return run.state == "interrupted" and complete and run.resumed < MOST_RESUMED

    def latest(self) -> Run | None:
        """The newest run if it was interrupted, else the newest with a model."""
        folders = self._folders()
        for folder in reversed(folders):
            try:
                run = Run.read(folder / RUN)
            except (OSError, ValueError):  # missing or damaged
                continue
            if run.state == "running":  # when the server was killed
                run.state = "interrupted"
            if run.state == "interrupted" and folder == folders[-1]:
                return run
            if run.state == "done" and (self.bundle(run) / CARD).is_file():
                return run
        return None

    def finished(self) -> list[Run]:
        """All runs with a model, newest first."""
        found = []
        for folder in reversed(self._folders()):
            with suppress(OSError, ValueError):  # missing or damaged
                run = Run.read(folder / RUN)
                if run.state == "done" and (folder / "bundle" / CARD).is_file():
                    found.append(run)
        return found

    def tidy(self, kept: Run | None) -> None:
        """Remove what only active runs need, except that of `kept`."""
        for folder in self._folders():
            if kept is None or folder != self.folder(kept):
                _tidy(folder)

    def end(self, run: Run) -> None:
        """Save the state of a run, and remove what only an active run needs."""
        self.save(run)
        if not self.can_resume(run):
            _tidy(self.folder(run))

    def prepare(self, run: Run, root: Path, films: Sequence[Entry], request: Request) -> None:
        """Make a run's folder with a snapshot of films and their masks. Raises OutputError.

        root: the data folder, whose tables are copied too.
        """
        folder = self.folder(run)
        images, masks = folder / FILMS / "images", folder / FILMS / "masks"
        try:
            images.mkdir(parents=True)
            masks.mkdir()
            for entry in films:
                if entry.mask is not None:
                    _link(entry.image, images / entry.image.name)
                    shutil.copyfile(entry.mask, masks / f"{entry.name}{entry.mask.suffix}")
            for table in TABLES:
                if (root / table).is_file():
                    shutil.copyfile(root / table, folder / FILMS / table)
            request.write(folder / REQUEST)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise unwritable(folder, error) from None
        except OutputError:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _folders(self) -> list[Path]:
        """The folders of all runs, oldest first."""
        with suppress(OSError):
            return sorted(path for path in self.root.iterdir() if path.name.isdigit())
        return []


def _tidy(folder: Path) -> None:
    shutil.rmtree(folder / FILMS, ignore_errors=True)
    with suppress(OSError):
        (folder / CHECKPOINT).unlink()


def _link(path: Path, link: Path) -> None:
    try:
        link.symlink_to(real_path(path))
    except OSError:  # no permission to make links (Windows)
        if link.exists() or not os.access(link.parent, os.W_OK):
            raise
        shutil.copyfile(path, link)
