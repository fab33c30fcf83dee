"""Options that several verbs share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from boneseg.cli.common import print_json, refuse_other_ending
from boneseg.errors import UsageError


def test_one_json_document_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [1, None]})
    assert json.loads(capsys.readouterr().out) == {"a": [1, None]}


def test_a_file_is_named_after_its_format() -> None:
    refuse_other_ending("--out", None, ".csv")
    refuse_other_ending("--out", Path("scores.CSV"), ".csv")
    for name in ("scores.json", "scores"):
        with pytest.raises(UsageError, match=r"is written as CSV; use the suffix \.csv"):
            refuse_other_ending("--out", Path(name), ".csv")
