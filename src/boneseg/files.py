"""Files written whole or not at all, and paths that lead to one place."""

from __future__ import annotations

import csv
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from boneseg.errors import OutputError, TrainingError

RUNS = ("checkpoint.safetensors", "plan.json", "tune.db")  # of train, crossval and tune


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`: what is written there is moved into place at the end.

    with whole_file(Path("masks/knee.png")) as temporary:
        image.save(temporary)

    Where that fails nothing is left behind, and what stood at `path` stays. An OSError becomes an
    OutputError of one line.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.new")  # short: a long name stays legal
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or error
        advice = "give a folder that exists and has room"
        raise OutputError(f"{path}: cannot be written ({reason}); {advice}") from None
    finally:
        with suppress(OSError):  # moved into place, or never made
            temporary.unlink()


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


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV with a header. Raises OutputError.

    Bytes of a file's name that are no UTF-8 are written as \\udcXX.
    """
    with (
        whole_file(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])
