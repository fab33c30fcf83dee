"""The queue of a node on disk, which survives a kill.

    FOLDER/lock                   held by the running node
    FOLDER/coming/                films being received
    FOLDER/films/<hash>.dcm       received, not yet segmented
    FOLDER/films/<hash>.begun     a byte for each attempt to segment it
    FOLDER/answers/<hash>.dcm     segmentations not yet sent
    FOLDER/failed/<hash>.dcm      films that could not be segmented and rejected segmentations of
                                  the last 30 days, at most a hundred

Files are named by a hash of their SOP Instance UID, so that a duplicate is queued once; the log
names films by its first twelve digits. A file is flushed to disk (fsync) before it counts as
received. Folders have mode 0700 and files 0600.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from boneseg._util.files import whole_file
from boneseg._util.lock import held
from boneseg.errors import OutputError

Queue = Literal["films", "answers", "failed"]
FAILED_KEPT, FAILED_DAYS = 100, 30


class FullError(OutputError):
    """The spool is full."""


@contextmanager
def only_node(folder: Path, address: str) -> Iterator[None]:
    """Lock a spool for this node: a second one would send duplicates and lose films.

    Raises OutputError where another node holds it.
    """
    with held(folder / "lock", address) as other:
        if other is not None:
            raise OutputError(f"{folder}: is used by another node ({other}); give another --spool")
        yield


class Spool:
    """A queue of up to `limit` films and segmentations in `folder`. Thread-safe.

    Raises OutputError where the folder cannot be made.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit, self.coming = folder, limit, folder / "coming"
        try:
            for name in ("coming", "films", "answers", "failed"):
                place = folder / name
                place.mkdir(parents=True, exist_ok=True)
                place.chmod(0o700)
                stale = "*" if name == "coming" else ".*.new"
                for left in place.glob(stale):  # left by a kill while writing
                    left.unlink()
            for mark in (folder / "films").glob("*.begun"):
                if not mark.with_suffix(".dcm").exists():
                    mark.unlink()
            self._drop_failed()
        except OSError as error:
            raise OutputError(
                f"{folder}: cannot be made ({error.strerror}); give another --spool"
            ) from None

    def put(self, queue: Queue, uid: str, parts: Iterable[bytes]) -> Path:
        """Store an object. Raises FullError where the spool is full, and OutputError."""
        path = self.folder / queue / f"{_hash(uid)}.dcm"
        if queue == "films" and not path.exists() and self.count() >= self.limit:
            raise FullError(f"{self.folder}: the spool is full ({self.limit} films)")
        with whole_file(path) as temporary, open(temporary, "wb", opener=_private) as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(path.parent, os.O_RDONLY)  # flush the directory entry, too
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return path

    def next(self, queue: Queue) -> Path | None:
        """The oldest object."""
        waiting = self._waiting(queue)
        return waiting[0] if waiting else None

    def count(self) -> int:
        """Number of queued films and segmentations."""
        return len(self._waiting("films")) + len(self._waiting("answers"))

    def begin(self, path: Path) -> int:
        """Record an attempt at a film; returns the number of unfinished attempts.

        This detects films that crash the whole program.
        """
        mark = path.with_suffix(".begun")
        with suppress(OSError), open(mark, "ab", opener=_private) as file:
            file.write(b".")
            return file.tell()
        return 1

    def put_back(self, path: Path) -> None:
        """Discard an attempt that failed for another reason than the film."""
        path.with_suffix(".begun").unlink(missing_ok=True)

    def put_last(self, path: Path) -> None:
        """Move to the end of the queue."""
        with suppress(OSError):
            os.utime(path)

    def done(self, path: Path) -> None:
        """Remove a segmented film or a sent segmentation."""
        path.unlink(missing_ok=True)
        path.with_suffix(".begun").unlink(missing_ok=True)

    def fail(self, path: Path) -> None:
        """Move to the failed folder, and remove the oldest there."""
        with suppress(FileNotFoundError):
            os.utime(path)  # its retention starts now
            path.replace(self.folder / "failed" / path.name)
        path.with_suffix(".begun").unlink(missing_ok=True)
        self._drop_failed()

    def _drop_failed(self) -> None:
        failed = self._waiting("failed")
        limit = time.time() - FAILED_DAYS * 86400
        for number, old in enumerate(reversed(failed)):
            with suppress(FileNotFoundError):
                if number >= FAILED_KEPT or old.stat().st_mtime < limit:
                    old.unlink()

    def _waiting(self, queue: Queue) -> list[Path]:
        ages = {}
        for path in (self.folder / queue).glob("*.dcm"):
            with suppress(FileNotFoundError):
                ages[path] = path.stat().st_mtime_ns
        return sorted(ages, key=lambda path: (ages[path], path.name))


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _hash(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:16]
