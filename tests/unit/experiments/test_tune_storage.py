"""The trials of a search on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from boneseg.experiments.tune_storage import open_study


@pytest.mark.parametrize("name", ["a%20b", "{a}", "50% #2 ü"])
def test_a_search_is_kept_under_any_name(name: str, tmp_path: Path) -> None:
    out = tmp_path / name
    for resume in (False, True):
        open_study(out, {"films": {}, "recipe": 1}, resume)
    assert list(tmp_path.rglob("*.db")) == [out / "tune.db"]
