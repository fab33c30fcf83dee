"""A private working folder: removed at the end or the next start, never shared."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from boneseg._util.scratch import KEPT, scratch, usual_folder
from boneseg.errors import OutputError

HOLD = """
import sys, time
from pathlib import Path
from boneseg._util.scratch import scratch
with scratch(Path(sys.argv[1])) as room, room.work("abc") as place:
    (place / "film").write_text("of a patient")
    print(place, flush=True)
    time.sleep(60)
"""


def holder(folder):
    """Another process that has work in hand, and where."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    return process, Path(process.stdout.readline().strip())


def test_files_of_dead_processes_are_removed_and_of_running_ones_kept(tmp_path):
    folder = tmp_path / "scratch"
    living, living_place = holder(folder)
    dead, dead_place = holder(folder)
    try:
        dead.kill()
        dead.wait()
        assert dead_place.exists()
        with scratch(folder) as room:
            assert not dead_place.exists() and living_place.exists()
            assert room.ended_over("abc") == 1 and room.ended_over("abd") == 0
    finally:
        living.kill()
        living.wait()
    with scratch(folder) as room:
        assert not living_place.exists()
        assert room.ended_over("abc") == 2
        room.record("abc").unlink()
        assert room.ended_over("abc") == 0
    assert [path.name for path in folder.iterdir()] == ["ended"]


def test_all_files_are_private_and_removed_at_the_end(tmp_path):
    folder = tmp_path / "scratch"
    folder.mkdir(mode=0o755)  # of an earlier version
    with pytest.raises(KeyError), scratch(folder) as room, room.work("abc") as place:
        while place != tmp_path:
            assert stat.S_IMODE(place.stat().st_mode) == 0o700
            place = place.parent
        for path in folder.rglob("*"):
            if path.name == "begun":
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
        raise KeyError
    assert [path.name for path in folder.iterdir()] == ["ended"]


def test_records_of_crashes_expire_after_a_month(tmp_path):
    with scratch(tmp_path) as room:
        for name, age in (("old", KEPT + 60), ("new", KEPT - 60)):
            room.record(name).write_bytes(b".")
            past = room.record(name).stat().st_mtime - age
            os.utime(room.record(name), (past, past))
    with scratch(tmp_path) as room:
        assert room.ended_over("old") == 0 and room.ended_over("new") == 1


def test_work_begins_in_an_empty_folder(tmp_path):
    with scratch(tmp_path / "scratch") as room:
        with room.work("a") as place:
            (place / "film").write_bytes(b"")
            with room.work("b") as again:  # as if the end of the first had been interrupted
                assert again == place and not list(again.iterdir())
        with room.work("a") as place:
            assert not list(place.iterdir())


def test_without_a_temporary_directory_a_line_says_so(monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: ["/nonexistent"])
    with pytest.raises(OutputError, match="set TMPDIR, or give --spool"):
        usual_folder()


def test_a_link_or_a_file_is_no_scratch_folder(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "file").write_bytes(b"")
    for name in ("link", "file"):
        with pytest.raises(OutputError, match=f"{name}: "), scratch(tmp_path / name):
            pass
