"""What a node has received and not yet answered, on disk, so that a kill loses nothing.

    FOLDER/lock                   held by the node that runs on it
    FOLDER/coming/                films while they come
    FOLDER/films/<hash>.dcm       received, and not yet segmented
    FOLDER/films/<hash>.begun     a byte for each time that segmenting it was begun
    FOLDER/answers/<hash>.dcm     segmentations that have not been sent
    FOLDER/failed/<hash>.dcm      those of the last 30 days that could not be segmented, or were
                                  refused, a hundred at most

Files are named by a hash of their SOP Instance UID, so that what is sent twice waits once; the log
names films by the first twelve digits of it. A file is on the disk (fsync) before it counts as
received. The folders are 0700 and the files 0600.
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

Room = Literal["films", "answers", "failed"]
FAILED_KEPT, FAILED_DAYS = 100, 30


class FullError(OutputError):
    """The spool holds as many films as it may."""


@contextmanager
def only_node(folder: Path, address: str) -> Iterator[None]:
    """Hold a spool for this node alone: another would send each answer again, and lose films.

    Raises OutputError where another has it.
    """
    with held(folder / "lock", address) as other:
        if other is not None:
            raise OutputError(f"{folder}: is another node's ({other}); give a --spool of its own")
        yield


class Spool:
    """Up to `limit` films and answers that wait in `folder`. Safe to use from several threads.

    Raises OutputError where the folder cannot be made.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit, self.coming = folder, limit, folder / "coming"
        try:
            for room in ("coming", "films", "answers", "failed"):
                place = folder / room
                place.mkdir(parents=True, exist_ok=True)
                place.chmod(0o700)
                stale = "*" if room == "coming" else ".*.new"
                for left in place.glob(stale):  # by a kill in the midst of writing
                    left.unlink()
            for mark in (folder / "films").glob("*.begun"):
                if not mark.with_suffix(".dcm").exists():
                    mark.unlink()
            self._drop_failed()
        except OSError as error:
            raise OutputError(
                f"{folder}: cannot be made ({error.strerror}); give another --spool"
            ) from None

    def put(self, room: Room, uid: str, parts: Iterable[bytes]) -> Path:
        """Keep an object. Raises FullError for a film too many, and OutputError."""
        path = self.folder / room / f"{_hash(uid)}.dcm"
        if room == "films" and not path.exists() and self.count() >= self.limit:
            raise FullError(f"{self.folder}: {self.limit} films wait already")
        with whole_file(path) as temporary, open(temporary, "wb", opener=_private) as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(path.parent, os.O_RDONLY)  # the name must be on the disk, too
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return path

    def next(self, room: Room) -> Path | None:
        """What has waited longest."""
        waiting = self._waiting(room)
        return waiting[0] if waiting else None

    def count(self) -> int:
        """How many films and answers wait."""
        return len(self._waiting("films")) + len(self._waiting("answers"))

    def begin(self, path: Path) -> int:
        """Note that work on a film begins; how often that was so without an end to it.

        A film that ends the whole program, as a decoder can be made to, is so known for it.
        """
        mark = path.with_suffix(".begun")
        with suppress(OSError), open(mark, "ab", opener=_private) as file:
            file.write(b".")
            return file.tell()
        return 1

    def put_back(self, path: Path) -> None:
        """Work on a film is given up for now, and not for anything it did."""
        path.with_suffix(".begun").unlink(missing_ok=True)

    def put_last(self, path: Path) -> None:
        """Have others go first."""
        with suppress(OSError):
            os.utime(path)

    def done(self, path: Path) -> None:
        """Forget a film that is answered, or an answer that is sent."""
        path.unlink(missing_ok=True)
        path.with_suffix(".begun").unlink(missing_ok=True)

    def fail(self, path: Path) -> None:
        """Put aside what nothing can be done with; the oldest of these go."""
        with suppress(FileNotFoundError):
            os.utime(path)  # it is kept from now on
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

    def _waiting(self, room: Room) -> list[Path]:
        ages = {}
        for path in (self.folder / room).glob("*.dcm"):
            with suppress(FileNotFoundError):
                ages[path] = path.stat().st_mtime_ns
        return sorted(ages, key=lambda path: (ages[path], path.name))


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _hash(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:16]
