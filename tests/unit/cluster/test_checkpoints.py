from __future__ import annotations

import time
from pathlib import Path

import pytest

pytest.importorskip("fsspec", reason="needs fsspec: pip install 'boneseg[cluster]'")

from boneseg.cluster import checkpoints
from boneseg.cluster.checkpoints import kept_in
from boneseg.cluster.storage import Storage
from boneseg.errors import OutputError


def test_a_task_finds_the_files_that_the_one_before_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY", 0.01)
    kept, here, there = tmp_path / "kept", tmp_path / "here", tmp_path / "there"
    kept.mkdir()
    with kept_in(Storage(str(kept)), "fold-1", here):
        (here / "fold-1" / ".lock").write_text("not kept")
        (here / "fold-1" / "bundle").mkdir()
        (here / "fold-1" / "checkpoint").write_text("step 7")
        until = time.monotonic() + 20
        while not (kept / "fold-1" / "checkpoint").exists() and time.monotonic() < until:
            time.sleep(0.01)
    assert [path.name for path in (kept / "fold-1").iterdir()] == ["checkpoint"]
    with kept_in(Storage(str(kept)), "fold-1", there):
        assert (there / "fold-1" / "checkpoint").read_text() == "step 7"


def test_a_path_that_a_machine_does_not_have_keeps_nothing(tmp_path: Path) -> None:
    with kept_in(Storage(str(tmp_path / "elsewhere")), "fold-1", tmp_path / "here"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_storage_that_refuses_ends_the_task_before_work_is_spent(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "fold-1").write_text("a file where the folder would be")
    with (
        pytest.raises(OutputError, match="fold-1"),
        kept_in(Storage(str(tmp_path / "kept")), "fold-1", tmp_path / "here"),
    ):
        raise AssertionError
