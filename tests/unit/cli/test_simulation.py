"""boneseg simulate."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from boneseg.cli.arguments import parameters
from boneseg.cli.simulation import simulate
from tests.support.command_line import boneseg


def test_it_writes_as_many_films_as_asked_for(tmp_path: Path) -> None:
    done = boneseg("simulate", "--out", tmp_path / "films", "--count", 2, "--size", 64)
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "films" / "images").iterdir())
    assert len(names) == 2
    assert names == sorted(path.name for path in (tmp_path / "films" / "masks").iterdir())
    written = {path.name for path in (tmp_path / "films").iterdir()}
    tables = {"parts.csv", "views.csv", "simulated.csv"}
    assert written == {"images", "masks", *tables}  # phantoms have no hidden/
    out = parameters(simulate)["out"].declared.help
    assert all(name in out for name in (*written, "hidden/ (except of phantoms)"))
    table = tmp_path / "films" / "parts.csv"
    with table.open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2


def test_resume_says_where_there_is_nothing_to_resume(tmp_path: Path) -> None:
    words = ("simulate", "--out", tmp_path / "films", "--count", 1, "--size", 64, "--resume")
    told = f"nothing to resume in {tmp_path / 'films'}; starting"
    assert boneseg(*words).stderr.splitlines()[0] == told
    assert told not in boneseg(*words).stderr


def test_ctrl_c_says_how_to_resume(tmp_path: Path) -> None:
    words = ["simulate", "--out", str(tmp_path / "films"), "--count", "1000000", "--size", "64"]
    call = [sys.executable, "-c", "from boneseg.cli import main; main()", *words]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert running.stderr.readline().startswith("simulating")
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said.endswith("stopped; continue with --resume\n")


@pytest.mark.parametrize(
    "words",
    [["--count", "0"], ["--count", "2", "--kind", "bones"], ["--count", "2", "--size", "8"]],
)
def test_wrong_words_end_in_2_and_write_nothing(words: list[str], tmp_path: Path) -> None:
    done = boneseg("simulate", "--out", tmp_path / "films", *words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "films").exists()
