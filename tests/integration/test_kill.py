"""The harness of fuzz/kill.py: it detects what a kill must not leave."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.support import ROOT

sys.path.append(str(ROOT / "fuzz"))

import kill


def write(folder: Path, **texts: str) -> Path:
    folder.mkdir()
    for name, text in texts.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def test_durations_alone_may_differ_between_runs(tmp_path: Path) -> None:
    rows = [{"input": "a.png", "seconds": 1.5, "area_px": 3}]
    first = write(tmp_path / "1", a_json=json.dumps(rows), b_csv="dice,seconds\n0.5,2\n")
    rows[0]["seconds"] = 9
    second = write(tmp_path / "2", a_json=json.dumps(rows), b_csv="dice,seconds\n0.5,7\n")
    assert kill.contents(first) == kill.contents(second)
    rows[0]["area_px"] = 4
    third = write(tmp_path / "3", a_json=json.dumps(rows), b_csv="dice,seconds\n0.6,7\n")
    assert not set(kill.contents(first).values()) & set(kill.contents(third).values())


def test_torn_files_damaged_documents_and_temporary_files_are_found(tmp_path: Path) -> None:
    whole = kill.contents(write(tmp_path / "whole", a_png="pixels", b_png="others", c_json="{}"))
    cut = write(tmp_path / "cut", a_png="pixels", b_png="oth", c_json="{")
    (cut / ".0123456789abcdef.new").touch()
    assert sorted(kill.torn(cut, whole)) == ["b.png is torn", "c.json is damaged"]
    assert kill.temporary(cut) == [".0123456789abcdef.new"]
    assert kill.torn(tmp_path / "none", whole) == []
