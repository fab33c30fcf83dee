"""Folders that one process at a time may write to.

    with sole_writer(Path("runs/knees")):
        ...                       # another process that asks for the folder gets an OutputError

The lock is the kernel's (flock) on a file in the folder. It ends with the process, however that
ends: a lock file that a killed process leaves behind blocks nobody.
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

from boneseg._util.files import make_folder, sweep, unwritable
from boneseg.errors import OutputError

LOCK = ".lock"
P = ParamSpec("P")
R = TypeVar("R")

_ours: ContextVar[frozenset[Path]] = ContextVar("folders that this call holds", default=frozenset())


@contextmanager
def sole_writer(out: Path) -> Iterator[None]:
    """Make an output folder and hold it; temporary files of a killed process are removed.

    Held by the same call already (a training within a cross-validation), it stays so. A folder
    that was made here and is empty at the end is removed. Raises OutputError where another process
    holds the folder, or where it cannot be made.
    """
    place = out.resolve()
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
            with suppress(OSError):  # it holds something
                folder.rmdir()


def exclusive(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function hold the folder `out`, one of its arguments, while it runs.

    Its calls raise as `sole_writer` does.
    """
    words = signature(function)

    @wraps(function)
    def holding(*args: P.args, **kwargs: P.kwargs) -> R:
        with sole_writer(Path(words.bind(*args, **kwargs).arguments["out"])):
            return function(*args, **kwargs)

    return holding


@contextmanager
def held(lock: Path, holder: str) -> Iterator[str | None]:
    """Hold a folder by its lock file; gives None, or the holder where that is another process.

    The lock file is removed at the end. Raises OutputError where it cannot be made.
    """
    try:
        import fcntl
    except ImportError:  # Windows: no locks of this kind, so nobody is held off
        yield None
        return
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = lock.open("ab+", buffering=0)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                other = _read(file) or "elsewhere"
                break
            except OSError:  # a file system without locks: nobody is held off
                other = None
                break
            if _is_at(file, lock):
                other = None
                break
            file.close()  # its holder removed it between our opening and our locking
    except OSError as error:
        raise unwritable(lock, error) from None
    with file:
        if other is not None:
            yield other
            return
        with suppress(OSError):  # a full disk: the lock holds without a name in it
            file.truncate(0)
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
