"""Files written whole or not at all, and paths that lead to one place."""

from __future__ import annotations

import csv
import errno
import json
import math
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from boneseg.errors import OutputError, TrainingError

LAYOUTS = (("images", "masks"), ("all_images", "labels"))  # a folder of films, one of masks
RUNS = ("checkpoint.safetensors", "plan.json", "tune.db")  # of train, crossval and tune
STALE = 3600.0  # seconds after which what is still being written belongs to a dead process
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.(new|old)")  # the names that `_beside` gives
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@＝＋－＠]")  # what a spreadsheet runs begins so
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`: what is written there is moved into place at the end.

    with whole_file(Path("masks/knee.png")) as temporary:
        image.save(temporary)

    Where that fails nothing is left behind, and what stood at `path` stays. An OSError becomes an
    OutputError of one line.
    """
    temporary = _beside(path, "new")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        with suppress(OSError):  # moved into place, or never made
            temporary.unlink()


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """A new folder beside `path`, to build in it what `replace_folder` then moves there.

    It is gone at the end, if it was not moved. An OSError becomes an OutputError of one line.
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
    """Move a folder to `path`; what stands there is put aside, and removed last. Raises OSError.

    Where that fails, it is put back. A kill in between leaves both beside `path`.
    """
    old = _beside(path, "old")
    if path.is_dir() and not path.is_symlink():  # else the move below says what is in its way
        path.rename(old)
    try:
        fresh.rename(path)
    except BaseException:
        if old.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def unwritable(path: Path, error: OSError) -> OutputError:
    """Why `path` cannot be written, and what to do."""
    advice = "give a folder that exists and has room"
    if error.errno in _FULL:
        advice = "free space"
    elif error.errno in _FORBIDDEN:
        advice = "make its folder writable, or give another"
    return OutputError(f"{path}: cannot be written ({error.strerror or error}); {advice}")


def _beside(path: Path, suffix: str) -> Path:
    """A hidden name that is not taken; short, so that beside a long name it is legal."""
    return path.with_name(f".{secrets.token_hex(8)}.{suffix}")


def sweep(folder: Path, *, older_than: float = -math.inf) -> None:
    """Remove temporary files and folders of a process that was killed.

    older_than: seconds since they were last written. Without it the folder must be one that only
    the caller writes to: what another process is writing would go, too.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            if _TEMPORARY.fullmatch(path.name) and time.time() - path.stat().st_mtime > older_than:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def make_folder(path: Path, advice: str = "choose another") -> None:
    """Make a folder for results, and those above it. Raises OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be made ({error.strerror}); {advice}") from None


def own_folder(out: Path, own: str, resume: bool) -> None:
    """Refuse a folder that holds a run or is a bundle, but for a run of one's own that goes on.

    own: which of RUNS the caller writes. Whatever else runs there would lose its model to it.
    Raises TrainingError.
    """
    if (out / own).exists():
        if not resume:
            raise TrainingError(
                f"{out}: holds a run already; add --resume or choose another folder"
            )
    elif any((out / name).exists() for name in (*RUNS, "model.json", "bundle/model.json")):
        raise TrainingError(f"{out}: holds another run already; choose another folder")


def same_place(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file or folder, through any links and in any letter case."""
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there
        return False


def read_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError where it is none, or is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def write_json(path: Path, document: Any) -> None:
    """Write a document as indented JSON. Raises OutputError."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def csv_cell(value: Any) -> Any:
    """A value that a spreadsheet will not run as a formula: such text gets an apostrophe before it.

    https://owasp.org/www-community/attacks/CSV_Injection. Numbers, also negative ones written as
    text, stay as they are. `plain_cell` takes the apostrophe off again.

    >>> csv_cell("=1+1"), csv_cell("-0.5"), csv_cell("knee")
    ("'=1+1", '-0.5', 'knee')
    """
    dangerous = isinstance(value, str) and _FORMULA.match(value) and not _is_number(value)
    return f"'{value}" if dangerous else value


def plain_cell(text: str) -> str:
    """The text of which `csv_cell` made a cell."""
    return text[1:] if text.startswith("'") and csv_cell(text[1:]) == text else text


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV with a header; no cell is a formula (`csv_cell`). Raises OutputError.

    Bytes of a file's name that are no UTF-8 are written as \\udcXX.
    """
    cells = ([csv_cell(value) for value in row] for row in (columns, *rows))
    with (
        whole_file(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows(cells)
