"""Help and messages of invalid calls, by typer."""

from __future__ import annotations

import pytest

from boneseg.cli.typer_app import run_typer
from boneseg.cli.verbs import VERBS
from boneseg.errors import UsageError


def test_the_help_lists_every_verb_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_typer(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f" {name} " in printed for name in VERBS)
    assert run_typer(["segment", "--help"]) == 0
    printed = capsys.readouterr().out
    for part in ("{inputs}", "--out", "--format", "--no-invert", "Advanced", "[required]"):
        assert part in printed


@pytest.mark.parametrize("words", [[], *([name] for name in VERBS)])
def test_h_is_short_for_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_typer([*words, "--help"]) == 0
    expected = capsys.readouterr().out
    assert run_typer([*words, "-h"]) == 0
    assert capsys.readouterr().out == expected != ""


def test_an_invalid_call_is_one_line_that_points_to_the_help() -> None:
    with pytest.raises(UsageError, match=r"^Missing option '--out'; see boneseg train --help$"):
        run_typer(["train"])
    with pytest.raises(UsageError, match=r"Did you mean 'segment'\?; see boneseg --help$"):
        run_typer(["sgment"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("segment knee.png --out masks --spacing 0,143", "0,143: give a number, such as 0.143"),
        ("train data --out run --minutes 1,5", "1,5: give a number, such as 1.5"),
        ("convert data --out masks --to png --tolerance wide", "wide: give a number"),
        ("train data --out run --epochs 1.5", "1.5: give a whole number"),
        ("serve --port http", "http: give a whole number"),
        ("serve --port 70000", "70000: give a number of at most 65535"),
        ("serve --log-format xml", "xml: choose from text, json"),
        (
            "pacs http://pacs --watch --min-verdict fair",
            "fair: choose from good, review, unsuitable",
        ),
    ],
)
def test_a_value_of_another_kind_is_answered_with_what_to_give(words: str, told: str) -> None:
    verb, *rest = words.split()
    with pytest.raises(UsageError) as caught:
        run_typer([verb, *rest])
    assert str(caught.value) == f"{rest[-2]} {told}; see boneseg {verb} --help"


def test_a_verb_is_called_with_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_typer(["recipes", "fast"]) == 0
    assert "[network]" in capsys.readouterr().out


def test_a_call_without_words_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_typer([]) == 2
    assert "Commands" in capsys.readouterr().out
