"""Atomic writing of files and folders, and path helpers."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import math
import os
import re
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeAlias

from boneseg.errors import OutputError, TrainingError

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"

LAYOUTS = (("images", "masks"), ("all_images", "labels"))  # folders of films and of masks
HIDDEN = ".boneseg"  # the light box's own folder in a folder of films
RUNS = ("checkpoint.safetensors", "plan.json", "tune.db", "study.json")  # of train, crossval, tune
CLUTTER = (".DS_Store", "Thumbs.db", "desktop.ini")  # left in folders by file managers
STALE = 3600.0  # seconds after which a temporary file counts as abandoned
LARGEST = 2**26  # bytes of a document or table that is read at once, enough for a million films
LARGEST_REPORT = 2**28  # bytes of a report or table of measurements, which have 1 kB for each film
MOST_VALUES = 2**25  # of a JSON document: each takes up to 70 bytes of memory, and 3 of the file
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.(new|old)(-journal)?")  # of `_beside`, and of SQLite
_BLOCK = 2**20  # bytes that are read at once for a digest
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORMULA = re.compile(
    r"[\t\r\n]|\s*[=+\-@＝＋－＠]"
)  # the start of a cell that a spreadsheet would execute
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, moved into place at the end.

    with whole_file(Path("masks/knee.png")) as temporary:
        image.save(temporary)

    On failure nothing is left behind, and an existing `path` stays unchanged. Raises OutputError
    instead of OSError.
    """
    temporary = _beside(path, "new")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        with suppress(OSError):  # moved into place, or never created
            temporary.unlink()


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, to be moved into place by `replace_folder`.

    It is removed at the end if it was not moved. Raises OutputError instead of OSError.
    """
    fresh = _beside(path, "new")
    try:
        fresh.mkdir(parents=True)
        yield fresh
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def replace_folder(path: Path, fresh: Path) -> None:
    """Move a folder to `path`, replacing an existing folder. Raises OSError.

    On failure the old folder is restored. A kill in between leaves both beside `path`.
    """
    old = _beside(path, "old")
    if path.is_dir() and not path.is_symlink():  # otherwise the rename below fails
        path.rename(old)
    try:
        fresh.rename(path)
    except BaseException:
        if old.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def unwritable(path: Path, error: OSError) -> OutputError:
    """The error for a `path` that cannot be written, with advice."""
    advice = "choose an existing folder with free space"
    if error.errno in _FULL:
        advice = "free space"
    elif error.errno in _FORBIDDEN:
        advice = "make its folder writable, or choose another"
    elif error.errno == errno.ELOOP:
        advice = "remove it"
    return OutputError(f"{path}: cannot be written ({error.strerror or error}); {advice}")


def temporary_path(folder: Path) -> Path:
    """A unique path in a folder; `sweep` removes a file there that a killed process has left."""
    return _beside(folder / "any", "new")


def _beside(path: Path, suffix: str) -> Path:
    """A unique hidden name; short, so that it is valid beside a long name."""
    return path.with_name(f".{os.urandom(8).hex()}.{suffix}")


def sweep(folder: Path, *, older_than: float = -math.inf) -> None:
    """Remove temporary files and folders of killed processes.

    older_than: seconds since the last change. Without it, only the caller may write to the folder:
    the temporary files of other processes are removed too.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            if _TEMPORARY.fullmatch(path.name) and time.time() - path.stat().st_mtime > older_than:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def make_folder(path: Path, advice: str = "choose another") -> None:
    """Make an output folder with its parents. Raises OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be made ({error.strerror}); {advice}") from None


def own_folder(out: Path, own: str, resume: bool) -> None:
    """Refuse a folder that holds a run or a bundle, except the caller's own run with `resume`.

    own: which of RUNS the caller writes; any other run there would be overwritten. Raises
    TrainingError.
    """
    if (out / own).exists():
        if not resume:
            raise TrainingError(
                f"{out}: holds a run already; add --resume or choose another folder"
            )
    elif any((out / name).exists() for name in (*RUNS, "model.json", "bundle/model.json")):
        raise TrainingError(f"{out}: holds another run already; choose another folder")


def same_place(one: Path, other: Path) -> bool:
    """Whether two paths are the same file or folder, after links and in any letter case."""
    try:
        return one.samefile(other)
    except OSError:  # one of them does not exist
        return False


def real_path(path: Path) -> Path:
    """Resolve symbolic links; a cycle of links is resolved as far as possible.

    `Path.resolve` raises RuntimeError for a cycle before Python 3.13.
    """
    return Path(os.path.realpath(path))


def read_bytes(path: Path, most: int = LARGEST) -> bytes:
    """The content of a regular file of at most `most` bytes. Raises OSError.

    Reading a named pipe would block, and a device has no end: both are refused.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = b"" if size > most else file.read(most + 1)
    if max(size, len(content)) > most:
        raise OSError(errno.EFBIG, f"over the limit of {most >> 20} MiB", str(path))
    return content


def file_digest(path: Path, most: int) -> str:
    """The SHA-256 of a file, as hex digits; of a longer file, that of its first `most` bytes.

    Raises OSError, also for what is not a regular file.
    """
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(min(most, _BLOCK)):
            digest.update(block)
            most -= len(block)
    return digest.hexdigest()


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading. Raises OSError, also for a pipe, a device and a folder."""
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def own_file(path: Path, flags: int = 0) -> int:
    """Open a file to be changed in place, made if missing; returns its descriptor.

    The folder may be from somebody else: what a link there leads to is never opened. flags: of
    `os.open`, further ones. Raises OSError.
    """
    known = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC")  # not all of them on Windows
    flags |= os.O_RDWR | os.O_CREAT | sum(getattr(os, name, 0) for name in known)
    refused = OSError(errno.ELOOP, "it is a link, or not a regular file", str(path))
    if path.is_symlink():
        raise refused
    file = os.open(path, flags, 0o666)
    facts = os.fstat(file)
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink > 1:
        os.close(file)
        raise refused
    return file


def read_json(text: str | bytes) -> Any:
    """Parse JSON. Raises ValueError where it is invalid, too deep, or has over MOST_VALUES."""
    if len(text) > MOST_VALUES and _marks(text) > MOST_VALUES:
        raise ValueError(f"it holds more than {MOST_VALUES} values")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _marks(text: str | bytes) -> int:
    """How many values a JSON document can hold: one begins after each of three characters."""
    if isinstance(text, str):
        return sum(map(text.count, "[{,"))
    return sum(map(text.count, (b"[", b"{", b",")))


def write_json(path: Path, document: object) -> None:
    """Write a document as indented JSON. Raises OutputError."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def csv_cell(value: object) -> object:
    """A CSV value protected against formula injection: dangerous text is prefixed by an apostrophe.

    https://owasp.org/www-community/attacks/CSV_Injection. Numbers, also negative ones as text, are
    unchanged. `plain_cell` reverses it.

    >>> csv_cell("=1+1"), csv_cell("-0.5"), csv_cell("knee")
    ("'=1+1", '-0.5', 'knee')
    """
    if isinstance(value, str) and _FORMULA.match(value) and not _is_number(value):
        return f"'{value}"
    return value


def plain_cell(text: str) -> str:
    """The original text of a cell of `csv_cell`."""
    return text[1:] if text.startswith("'") and csv_cell(text[1:]) == text else text


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV with a header; cells are protected by `csv_cell`. Raises OutputError.

    Bytes of a file name that are not UTF-8 are written as \\udcXX.
    """
    cells = ([csv_cell(value) for value in row] for row in (columns, *rows))
    with (
        whole_file(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows(cells)
