"""One process at a time writes to an output folder."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from boneseg._util.lock import LOCK, exclusive, sole_writer
from boneseg.cli import main
from boneseg.errors import OutputError
from boneseg.simulate import simulate

HOLD = """
import sys, time
from pathlib import Path
from boneseg._util.lock import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def another_process(out: Path) -> Iterator[subprocess.Popen[str]]:
    call = [sys.executable, "-c", HOLD, str(out)]
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_second_process_is_refused_and_a_killed_one_blocks_nobody(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with another_process(out) as process:
        with pytest.raises(OutputError) as caught, sole_writer(out):
            pytest.fail("both write")
        assert f"process {process.pid}" in str(caught.value) and "\n" not in str(caught.value)
        process.kill()
        process.wait()
        assert (out / LOCK).exists()  # stale
        with sole_writer(out):
            pass
    assert not (out / LOCK).exists()


@pytest.mark.parametrize("linked", [Path.symlink_to, Path.hardlink_to])
def test_what_a_lock_file_links_to_stays_as_it_is(
    tmp_path: Path, linked: Callable[[Path, Path], None]
) -> None:
    """The folder may be from somebody else, and the link lead to a file of the user."""
    other, out = tmp_path / "authorized_keys", tmp_path / "run"
    other.write_text("my key")
    out.mkdir()
    linked(out / LOCK, other)
    refused = pytest.raises(OutputError, match="a link, or not a regular file")
    with refused as caught, sole_writer(out):
        pytest.fail("writes")
    assert str(caught.value).endswith("remove it") and other.read_text() == "my key"


def test_a_stale_lock_names_its_new_holder(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("process 123456 on a machine with a very long name")
    with sole_writer(tmp_path):
        assert (tmp_path / LOCK).read_text().startswith(f"process {os.getpid()} on ")
        assert "long name" not in (tmp_path / LOCK).read_text()


def test_what_a_killed_process_was_writing_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".0123456789abcdef.new").write_text("half a file")
    (tmp_path / ".0123456789abcdef.old").mkdir()
    (tmp_path / ".0123456789abcdef.old" / "model.json").write_text("{}")
    others = [".hidden.new", "0123456789abcdef.new", ".0123456789ABCDEF.new"]
    for name in others:
        (tmp_path / name).write_text("not boneseg's")
    with sole_writer(tmp_path):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


def test_a_call_locks_its_folder_once_and_other_threads_are_refused(tmp_path: Path) -> None:
    refused: list[str] = []

    def write() -> None:
        try:
            with sole_writer(tmp_path):
                pass
        except OutputError as error:
            refused.append(str(error))

    with sole_writer(tmp_path), sole_writer(tmp_path / "..") as _, sole_writer(tmp_path):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert len(refused) == 1
    write()
    assert len(refused) == 1


def test_a_folder_in_which_nothing_was_written_is_removed(tmp_path: Path) -> None:
    @exclusive
    def write(name: str, out: Path) -> None:
        if name:
            (out / name).write_text("")

    write("", tmp_path / "one" / "two")
    assert list(tmp_path.iterdir()) == []
    write("file", out=tmp_path / "one" / "two")
    assert [path.name for path in (tmp_path / "one" / "two").iterdir()] == ["file"]


@pytest.mark.parametrize(
    "words",
    [
        "train {data} --out {out} --epochs 1",
        "crossval {data} --out {out} --epochs 1 --folds 2",
        "compare {data} fast default --out {out} --epochs 1 --folds 2",
        "tune {data} --out {out} --epochs 1 --trials 1",
        "simulate --out {out} --count 1",
    ],
)
def test_every_long_verb_refuses_a_folder_in_use(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(tmp_path / "data", 8, size=(64, 64))
    out = tmp_path / "out"
    call = words.format(data=tmp_path / "data", out=out).split()
    monkeypatch.setattr(sys, "argv", ["boneseg", *call])
    with another_process(out), pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    (line,) = [line for line in said.splitlines() if str(out) in line]
    assert f"{out}: another boneseg process is writing there" in line
    assert [path.name for path in out.iterdir()] == [LOCK]
