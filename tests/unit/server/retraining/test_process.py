"""The process of a retraining reports on stdout, a message a line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from boneseg.server.retraining.process import report
from boneseg.server.retraining.records import Check, Message


def test_a_message_is_one_line_without_what_has_not_changed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report(Message(stage="training", check=Check(0.5, 0.1, 0.9)))
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    document = json.loads(line)
    assert document["check"] == {"done": 0.5, "loss": 0.1, "dice": 0.9}
    assert "error" not in document and Message.model_validate(document).stage == "training"


def test_an_error_is_reported_and_no_traceback(tmp_path: Path) -> None:
    call = [sys.executable, "-m", "boneseg.server.retraining.process", str(tmp_path / "run")]
    with subprocess.Popen(
        call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        document = json.loads(process.stdout.readline())
        assert "run" in document["error"] and "\n" not in document["error"]
        assert process.wait(60) == 1
        assert "Traceback" not in process.stderr.read()


def test_it_ends_when_the_server_does(tmp_path: Path) -> None:
    program = (
        "import sys, threading; from boneseg.server.retraining import process; "
        "threading.Thread(target=process._end_with_the_server).start(); "
        "print('at work', flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        process.stdin.close()
        assert process.wait(30) == 1
