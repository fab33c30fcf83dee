"""Exclusive locks on folders.

    with sole_writer(Path("runs/knees")):
        ...                       # in any other process, this raises OutputError

A file in the folder is locked by the kernel (flock). The lock ends with the process, so that the
lock file of a killed process blocks nobody.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import wraps
from inspect import signature
from io import FileIO
from pathlib import Path
from typing import ParamSpec, TypeVar

from boneseg._util.files import make_folder, own_file, real_path, sweep, unwritable
from boneseg.errors import OutputError

LOCK = ".lock"
P = ParamSpec("P")
R = TypeVar("R")

_ours: ContextVar[frozenset[Path]] = ContextVar("folders that this call holds", default=frozenset())


@contextmanager
def sole_writer(out: Path) -> Iterator[None]:
    """Make and lock an output folder; temporary files of a killed process are removed.

    Reentrant within a call (a training inside a cross-validation). A folder that was made here and
    is empty at the end is removed. Raises OutputError where another process holds the folder, or
    where it cannot be made.
    """
    place = real_path(out)
    if place in _ours.get():
        yield
        return
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        make_folder(out, "choose another folder for --out")
        with held(out / LOCK, f"process {os.getpid()} on {platform.node()}") as other:
            if other is not None:
                raise OutputError(
                    f"{out}: another boneseg process is writing there ({other}); wait for it to "
                    "end, or choose another folder for --out"
                )
            sweep(out)
            token = _ours.set(_ours.get() | {place})
            try:
                yield
            finally:
                _ours.reset(token)
    finally:
        for folder in made:
            with suppress(OSError):  # not empty
                folder.rmdir()


def exclusive(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: lock the folder of the argument `out` during a call.

    Calls raise as `sole_writer` does.
    """
    words = signature(function)

    @wraps(function)
    def holding(*args: P.args, **kwargs: P.kwargs) -> R:
        with sole_writer(Path(words.bind(*args, **kwargs).arguments["out"])):
            return function(*args, **kwargs)

    return holding


@contextmanager
def held(lock: Path, holder: str) -> Iterator[str | None]:
    """Lock a folder by its lock file; yields None, or the holder if another process has the lock.

    The lock file is removed at the end. Raises OutputError where it cannot be made.
    """
    try:
        import fcntl
    except ImportError:  # Windows: no flock, so no exclusion
        yield None
        return
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = FileIO(own_file(lock), "r+")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                other = _read(file) or "elsewhere"
                break
            except OSError:  # a file system without locks: no exclusion
                other = None
                break
            if _is_at(file, lock):
                other = None
                break
            file.close()  # removed by its holder between open and lock
    except OSError as error:
        raise unwritable(lock, error) from None
    with file:
        if other is not None:
            yield other
            return
        with suppress(OSError):  # a full disk: the lock works without the holder's name
            file.truncate(0)
            file.seek(0)
            file.write(holder.encode())
        try:
            yield None
        finally:
            with suppress(OSError):
                lock.unlink()


def _read(file: FileIO) -> str:
    with suppress(OSError):
        file.seek(0)
        return (file.read(200) or b"").decode(errors="replace").strip()
    return ""


def _is_at(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
