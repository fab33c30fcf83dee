"""Options that several verbs share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from boneseg.cli.common import (
    chosen_formats,
    closing_line,
    opened,
    print_json,
    refuse_other_ending,
    say_if_nothing_to_resume,
)
from boneseg.errors import UsageError
from tests.support.datasets import folder


def test_one_json_document_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [1, None]})
    assert json.loads(capsys.readouterr().out) == {"a": [1, None]}


def test_a_closing_line_counts_what_is_done_and_what_failed() -> None:
    out = Path("out")
    assert closing_line("converted", 12, 12, out) == "converted 12 of 12 films; see out"
    assert closing_line("converted", 0, 1, out) == "converted 0 of 1 film; 1 failed; see out"
    line = closing_line("segmented", 4, 11, out, "3 good, 1 unsuitable")
    assert line == "segmented 4 of 11 films: 3 good, 1 unsuitable; 7 failed; see out"
    line = closing_line("converted", 3, 6, out, unpaired=2, unread=1)
    counts = "1 failed; 2 without a mask; 1 file could not be read"
    assert line == f"converted 3 of 6 films; {counts}; see out"


def test_a_run_that_cannot_be_resumed_is_said_to_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, records = tmp_path / "run", ("plan.json", "*/plan.json")
    say_if_nothing_to_resume(False, run, records)
    assert capsys.readouterr().err == ""
    say_if_nothing_to_resume(True, run, records)
    (run / "fast").mkdir(parents=True)
    say_if_nothing_to_resume(True, run, records)
    assert capsys.readouterr().err == f"nothing to resume in {run}; starting\n" * 2
    (run / "fast" / "plan.json").touch()
    say_if_nothing_to_resume(True, run, records)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("words", ["mask", "png", "png,mask", " png , mask,", "mask,png,png"])
def test_png_is_another_name_of_the_format_mask(words: str) -> None:
    assert chosen_formats("--format", words) == ["mask"]


@pytest.mark.parametrize(
    ("words", "told"), [("jpeg", "--to jpeg: unknown format"), (" ,", "no format given")]
)
def test_other_formats_are_refused_with_those_to_choose_from(words: str, told: str) -> None:
    with pytest.raises(UsageError, match=f"{told}; choose from mask, overlay, "):
        chosen_formats("--to", words)


def test_a_file_is_named_after_its_format() -> None:
    refuse_other_ending("--out", None, ".csv")
    refuse_other_ending("--out", Path("scores.CSV"), ".csv")
    for name in ("scores.json", "scores"):
        with pytest.raises(UsageError, match=r"is written as CSV; use the suffix \.csv"):
            refuse_other_ending("--out", Path(name), ".csv")


def test_rows_of_a_table_without_a_film_are_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the process that leads; the others of a training read the same tables."""
    root = folder(tmp_path, "images/a.png", "masks/a.png", groups="a,P1\nz,P1")
    for leads in (True, False):
        assert len(opened(root, None, None, None, False, warns=leads).cases) == 1
    told = f"warning: {root / 'groups.csv'}: lists z, without a film of that name\n"
    assert capsys.readouterr().err == told
