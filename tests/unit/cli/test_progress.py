"""A log gets lines that can be read, and no more than a hundred."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from boneseg.cli.progress import Progress, _bar


def test_progress_in_a_log_is_short_and_complete(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("working") as progress:
        for step in range(1, 5001):
            progress.at(step / 5000, f"step {step}")
        progress.say("error: one film is damaged")
    written = capsys.readouterr()
    lines = written.err.splitlines()
    assert written.out == ""
    assert 50 < len(lines) <= 102
    assert "100%  step 5000" in lines[-2]
    assert lines[-1] == "error: one film is damaged"


def test_a_narrow_terminal_shows_bar_and_share_beside_a_long_note() -> None:
    written = io.StringIO()
    with _bar(Console(width=80, file=written, force_terminal=True, color_system=None)) as bar:
        bar.add_task("segmenting", total=2, completed=1, note="film " * 30)
    line = next(one for one in written.getvalue().splitlines() if "segmenting" in one)
    assert "segmenting ━━━" in line and " 50% " in line and "film film film" in line


def test_a_note_that_is_to_stay_whole_is_printed_above_the_bar(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    note = "[knee] " * 30 + "end"
    with Progress("segmenting") as progress:
        progress.at(1, note, whole=True)
    assert f"{note}\n" in terminal.getvalue()
    monkeypatch.setattr("sys.stderr", log := io.StringIO())
    with Progress("segmenting") as progress:
        progress.at(1, note, whole=True)
    assert log.getvalue() == f"segmenting 100%  {note}\n"


def test_restarted_work_is_reported_again(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("working") as progress:
        for done in (0.5, 0.9, 0.1, 0.2, 0.201):
            progress.at(done, "so far")
    shares = [line.split()[1] for line in capsys.readouterr().err.splitlines()]
    assert shares == ["50%", "90%", "10%", "20%"]
