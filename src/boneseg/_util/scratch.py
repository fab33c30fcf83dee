"""A private folder for files that exist only while a process works on them.

    FOLDER/                    mode 0700, owned by this user
    FOLDER/<random>.lock       held by a process while it runs (flock)
    FOLDER/<random>/           the working files of that process; removed at its end
    FOLDER/<random>/begun      the name of the current work item, if any
    FOLDER/ended/<name>        a byte for each process that ended during this work item

A killed process cannot clean up: the next start removes its folder, and records its work item.
Names of work items must not identify a patient.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from boneseg._util.lock import held
from boneseg.errors import OutputError

KEPT = 30 * 86400  # retention of the records in seconds


def usual_folder() -> Path:
    """This user's folder in the system's temporary directory. Raises OutputError."""
    user = str(os.getuid()) if hasattr(os, "getuid") else "user"
    try:
        return Path(tempfile.gettempdir()) / f"boneseg-pacs-{user}"
    except OSError:
        raise OutputError(
            "no temporary directory is writable; set TMPDIR, or give --spool"
        ) from None


class Scratch:
    """This process's part of `folder`, and the records of processes that ended during work."""

    def __init__(self, folder: Path, own: Path) -> None:
        self._folder, self._own = folder, own

    @contextmanager
    def work(self, name: str) -> Iterator[Path]:
        """A folder for a work item, empty at the start and removed at the end.

        Raises OutputError where it cannot be made.
        """
        place = self._own / "work"
        shutil.rmtree(place, ignore_errors=True)  # left by an interrupted clean-up
        try:
            _write(self._own / "begun", name)
            place.mkdir(mode=0o700)
        except OSError as error:
            raise _unusable(self._folder, error) from None
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)
            (self._own / "begun").unlink(missing_ok=True)

    def ended_over(self, name: str) -> int:
        """How many processes ended during this work item in the last 30 days."""
        return _size(self.record(name))

    def record(self, name: str) -> Path:
        """The record of a work item; delete it to reset the count."""
        return self._folder / "ended" / name


@contextmanager
def scratch(folder: Path) -> Iterator[Scratch]:
    """Make `folder`, clean up after killed processes, and use a part of it.

    Raises OutputError where it cannot be made, or is not owned by this user.
    """
    _make_private(folder)
    _sweep(folder)
    own = folder / secrets.token_hex(8)
    # Lock before making the folder, so that no other process considers it stale.
    with held(own.with_suffix(".lock"), str(os.getpid())):
        try:
            try:
                own.mkdir(mode=0o700)
            except OSError as error:
                raise _unusable(folder, error) from None
            yield Scratch(folder, own)
        finally:
            shutil.rmtree(own, ignore_errors=True)
            own.with_suffix(".lock").unlink(missing_ok=True)


def _make_private(folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        mine = not hasattr(os, "getuid") or found.st_uid == os.getuid()
        if not stat.S_ISDIR(found.st_mode) or not mine:  # made by another user, to read our files
            raise OutputError(f"{folder}: is not a folder of this user; remove it")
        folder.chmod(0o700)
        (folder / "ended").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from None


def _sweep(folder: Path) -> None:
    try:
        import fcntl  # noqa: F401
    except ImportError:  # without locks, running processes cannot be detected
        return
    for own in folder.iterdir():
        lock = own.with_suffix(".lock")
        if not own.is_dir() or own.name == "ended":
            continue
        with suppress(OSError), held(lock, "") as other:
            if other is None:
                with suppress(OSError):
                    name = (own / "begun").read_text(encoding="ascii")
                    _write(folder / "ended" / Path(name).name, ".", os.O_APPEND)
                shutil.rmtree(own, ignore_errors=True)
                lock.unlink(missing_ok=True)
    for record in (folder / "ended").iterdir():
        with suppress(OSError):
            if time.time() - record.stat().st_mtime > KEPT:
                record.unlink()


def _write(path: Path, text: str, how: int = os.O_TRUNC) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o600), "w") as file:
        file.write(text)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _unusable(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{folder}: cannot store a film ({error.strerror or error}); free space there, or "
        "give --spool"
    )
