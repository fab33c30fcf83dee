"""boneseg serve, pacs and node refuse invalid arguments before they open anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import boneseg_process


@pytest.mark.parametrize(
    "words",
    [
        ["node", "--to", "nowhere"],
        ["node"],
        ["pacs", "https://pacs.example", "--study", "../1"],
        ["pacs", "https://pacs.example", "--watch", "--study", "1.2.3"],
        ["pacs", "https://pacs.example", "--study", "1.2.3", "--min-verdict", "fine"],
        ["node", "--to", "PACS@localhost:104", "--min-verdict", "bad"],
        ["serve", "--port", "70000"],
    ],
)
def test_wrong_words_open_nothing(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = boneseg_process(*words)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", ["serve", "pacs", "node"])
def test_the_help_says_what_the_service_does(verb: str) -> None:
    done = boneseg_process(verb, "--help")
    assert done.returncode == 0
    assert "Usage: " in done.stdout and "--log-format" in done.stdout
