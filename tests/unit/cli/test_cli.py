"""Every verb: help, exit status, and errors in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from boneseg import __version__, cli
from tests.support.command_line import boneseg_process


def test_the_version_is_printed_and_the_package_is_the_command() -> None:
    call = [sys.executable, "-m", "boneseg", "--version"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train"], "error: Missing option '--out'; see boneseg train --help"),
        (
            ["sgment"],
            "error: No such command 'sgment'. Did you mean 'segment'?; see boneseg --help",
        ),
    ],
)
def test_invalid_arguments_point_to_the_help_of_their_verb(words: list[str], told: str) -> None:
    done = boneseg_process(*words)
    assert (done.returncode, done.stderr.strip()) == (2, told)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device without space")
def test_messages_that_cannot_be_written_do_not_change_the_exit_status(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Path("/dev/full").open("w") as full:
        full.write("left")
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", full)
            assert cli._flushed(0) == 0
            full.flush()  # as Python does at exit: what was left has gone
    with Path("/dev/full").open("w") as full:
        for words, status in ((["segment", "nowhere.png", "--out", "x"], 2), (["--version"], 0)):
            call = [sys.executable, "-m", "boneseg", *words]
            done = subprocess.run(call, stdout=subprocess.DEVNULL, stderr=full, check=False)
            assert done.returncode == status


def test_too_little_memory_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gives_up(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(cli, "call", gives_up)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("error: there is not enough memory")


@pytest.mark.parametrize(("code", "status"), [(None, 0), (0, 0), (143, 143), ("told", 1)])
def test_a_service_that_ends_itself_keeps_its_status(
    code: object, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(*_: object, **__: object) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(cli, "call", ends)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == status


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["train", "nowhere", "--out", "x", "--set", "run.sed=1"], "run.seed"),
        (["recipes", "defualt"], "default"),
        (["segment"], "inputs"),
        (["segment", "film.png", "--out", "x"], "film.png"),
        (["train", "films", "--out", "x", "--minutes", "1", "--epochs", "1"], "either"),
        (["sgement"], "sgement"),
    ],
)
def test_invalid_arguments_end_with_status_2_and_one_line(words: list[str], hint: str) -> None:
    done = boneseg_process(*words)
    assert done.returncode == 2
    assert hint in done.stderr
    assert done.stderr.count("\n") == 1
    assert ".;" not in done.stderr


def test_a_call_without_arguments_shows_the_help_and_no_error() -> None:
    done = boneseg_process()
    assert done.returncode == 2
    assert "Commands" in done.stdout
    assert done.stderr == ""


@pytest.mark.skipif(sys.platform != "linux", reason="ulimit -v is of Linux")
@pytest.mark.parametrize(
    ("verb", "kilobytes", "needed"), [("segment", 700_000, "1 GB"), ("train", 1_500_000, "3 GB")]
)
def test_too_little_address_space_is_one_line(
    verb: str, kilobytes: int, needed: str, tmp_path: Path
) -> None:
    call = f"ulimit -v {kilobytes}; exec {sys.executable} -m boneseg {verb} x --out {tmp_path}/out"
    done = subprocess.run(["bash", "-c", call], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {verb}: virtual memory is limited to")
    assert f"{needed} are needed" in line


@pytest.mark.skipif(os.name != "posix", reason="others keep the current folder")
def test_a_current_folder_that_was_removed_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    film = tmp_path / "knee.png"
    film.touch()
    call = f"rmdir ../films; exec {sys.executable} -m boneseg segment {film} --out masks"
    done = subprocess.run(
        ["bash", "-c", call], cwd=tmp_path / "films", capture_output=True, text=True, check=False
    )
    line = "error: the current folder does not exist any more; change to another one\n"
    assert (done.returncode, done.stderr) == (1, line)


@pytest.mark.parametrize("width", ["", "abc", "-1", "0", "100", "9" * 11])
def test_help_is_shown_whatever_the_width_of_the_terminal_is_said_to_be(width: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "boneseg", "segment", "--help"],
        env={**os.environ, "TERMINAL_WIDTH": width},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "--out" in done.stdout, done.stderr
