"""JSON documents stay readable for older and newer versions of boneseg."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, ValidationError

from boneseg._util.documents import Document


@dataclass(frozen=True)
class Scores:
    dice: float
    hd_mm: float | None = None


class Case(Document):
    name: str
    scores: Scores


class Record(Document):
    cases: tuple[Case, ...]
    restarts: int = 0
    loss: float = Field(0.0, allow_inf_nan=True)


class Renamed(Document):
    VERSION: ClassVar[int] = 2

    restarts: int

    @classmethod
    def upgraded(cls, content: dict[str, object]) -> dict[str, object]:
        if "attempts" in content:
            content["restarts"] = content.pop("attempts")
        return content


RECORD = Record(cases=(Case(name="knee", scores=Scores(0.5)),), restarts=2)


def written(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_a_document_is_read_as_it_was_written(tmp_path: Path) -> None:
    RECORD.write(tmp_path / "record.json")
    assert Record.read(tmp_path / "record.json") == RECORD


def test_it_states_its_version(tmp_path: Path) -> None:
    RECORD.write(tmp_path / "record.json")
    assert json.loads((tmp_path / "record.json").read_text())["version"] == 1


def test_names_of_files_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    record = Record(cases=(Case(name="knee\udce9", scores=Scores(1.0)),))
    record.write(tmp_path / "record.json")
    assert Record.read(tmp_path / "record.json") == record


def test_a_document_without_version_or_newer_fields_has_their_defaults(tmp_path: Path) -> None:
    old = {"cases": [{"name": "knee", "scores": {"dice": 0.5}}]}
    record = Record.read(written(tmp_path / "old.json", old))
    assert (record.version, record.restarts, record.cases[0].scores.hd_mm) == (1, 0, None)


def test_fields_of_a_newer_version_are_ignored(tmp_path: Path) -> None:
    scores = {"dice": 0.5, "iou": 0.4}
    new = {"cases": [{"name": "knee", "scores": scores, "part": "leg"}], "seed": 7}
    record = Record.read(written(tmp_path / "new.json", new))
    assert record == Record(cases=RECORD.cases)


def test_a_version_with_another_meaning_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="version 2 is newer than 1; update boneseg"):
        Record.read(written(tmp_path / "new.json", {"version": 2, "cases": []}))


def test_an_older_form_is_upgraded(tmp_path: Path) -> None:
    record = Renamed.read(written(tmp_path / "old.json", {"version": 1, "attempts": 3}))
    assert (record.restarts, record.version) == (3, 2)


def test_a_missing_or_non_finite_number_is_refused(tmp_path: Path) -> None:
    for scores in ({}, {"dice": None}, {"dice": math.nan}):
        content = {"cases": [{"name": "knee", "scores": scores}]}
        with pytest.raises(ValueError, match="dice"):
            Record.read(written(tmp_path / "damaged.json", content))


def test_non_finite_numbers_are_kept_where_a_field_allows_them(tmp_path: Path) -> None:
    Record(cases=(), loss=math.inf).write(tmp_path / "record.json")
    assert Record.read(tmp_path / "record.json").loss == math.inf


@pytest.mark.parametrize("content", ["", "{", "[]", "7", "null", "[" * 100_000])
def test_what_is_not_such_a_document_is_a_value_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "damaged.json"
    path.write_text(content)
    with pytest.raises(ValueError):
        Record.read(path)
