"""Results go to stdout, messages to stderr, and a closed stderr stops no work."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from boneseg._util.console import say, show


def test_results_and_messages_are_kept_apart(capsys: pytest.CaptureFixture[str]) -> None:
    say("working")
    show("a line\nand another")
    out, err = capsys.readouterr()
    assert (out, err) == ("a line\nand another\n", "working\n")


def test_a_message_is_one_line_whatever_it_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    say("knee\n\x1b[31m.png: is not a film")
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "\x1b" not in err


@pytest.mark.skipif(os.name != "posix", reason="file descriptors of POSIX")
def test_a_closed_stderr_is_ignored() -> None:
    program = "import os; os.close(2); from boneseg._util.console import say; say('x'); print('ok')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "ok\n"
