"""Checkpoints of a task in storage that machines share, from which another worker resumes it.

with kept_in(Storage("s3://hospital/runs"), "fold-1", folder):
    train(films, recipe, folder / "fold-1", resume=True)
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from boneseg._util.files import make_folder
from boneseg.cluster.storage import Storage
from boneseg.errors import OutputError

EVERY = 2.0  # seconds between looks at the files
PROBE = "probe"  # a file that shows if the storage can be written
_log = logging.getLogger("boneseg.cluster")


@contextmanager
def kept_in(storage: Storage, name: str, folder: Path) -> Iterator[None]:
    """Get the files of `name` into `folder`, and copy those that change back, until the end.

    A path that this machine does not have is no storage: then nothing is kept. Raises OutputError
    where the storage cannot be read, or not be written at first; later, the copies only get old.
    """
    make_folder(folder / name)
    if storage.local is not None and not storage.local.is_dir():
        yield
        return
    for file in storage.names(name):
        content = storage.read(f"{name}/{file}")
        if content is not None and not file.startswith("."):
            (folder / name / file).write_bytes(content)
    storage.write(f"{name}/{PROBE}", b"")  # before work is spent
    storage.remove(f"{name}/{PROBE}")
    copies = _Copies(storage, name, folder)
    copies.start()
    try:
        yield
    finally:
        copies.stop()


class _Copies(Thread):
    """Copies files that have changed."""

    def __init__(self, storage: Storage, name: str, folder: Path) -> None:
        super().__init__(daemon=True)
        self._storage, self._name, self._folder = storage, name, folder
        self._ends = Event()
        self._known = self._changed({})

    def run(self) -> None:
        while not self._ends.wait(EVERY):
            self._copy()

    def stop(self) -> None:
        self._ends.set()
        self.join()

    def _copy(self) -> None:
        for path, time in self._changed(self._known).items():
            try:
                self._storage.put(path, f"{self._name}/{path.name}")
            except OutputError as error:
                _log.warning("%s", error)
                return
            self._known[path] = time

    def _changed(self, known: dict[Path, int]) -> dict[Path, int]:
        """The time of change of each file for which another or none is known."""
        found = {}
        for path in sorted((self._folder / self._name).iterdir()):
            with suppress(FileNotFoundError):  # temporary
                time = path.stat().st_mtime_ns
                if path.is_file() and path.name[0] != "." and known.get(path) != time:
                    found[path] = time
        return found
