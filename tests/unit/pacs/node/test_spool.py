"""The queue of a node on disk."""

from __future__ import annotations

import hashlib
import os
import stat
import time

import pytest

from boneseg.errors import OutputError
from boneseg.pacs.node.spool import FullError, Spool, only_node


def test_the_spool_is_bounded_ordered_and_survives_a_restart(tmp_path):
    spool = Spool(tmp_path, 2)
    first = spool.put("films", "1.2.9", [b"one"])
    spool.put("films", "1.2.1", [b"two"])
    with pytest.raises(FullError):
        spool.put("films", "1.2.3", [b"three"])
    spool.put("films", "1.2.1", [b"two, again"])  # no third
    (tmp_path / "films" / ".half.new").write_bytes(b"of a kill")
    again = Spool(tmp_path, 2)
    assert again.next("films") == first and again.count() == 2
    assert first.name == hashlib.sha256(b"1.2.9").hexdigest()[:16] + ".dcm"
    again.done(first)
    assert again.next("films").read_bytes() == b"two, again"
    assert not (tmp_path / "films" / ".half.new").exists()


def test_failed_films_are_kept_for_a_month_and_stray_marks_removed(tmp_path):
    spool = Spool(tmp_path, 200)
    for number in range(103):
        spool.fail(spool.put("films", f"1.2.{number}", [b"film"]))
    failed = tmp_path / "failed"
    assert len(list(failed.iterdir())) == 100
    for path in list(failed.iterdir())[:40]:
        old = time.time() - 31 * 86400
        os.utime(path, (old, old))
    (tmp_path / "films" / "0.begun").write_bytes(b"..")
    failed.chmod(0o755)  # as an earlier version left it
    Spool(tmp_path, 200)
    assert len(list(failed.iterdir())) == 60
    assert not (tmp_path / "films" / "0.begun").exists()
    for folder in ("coming", "films", "answers", "failed"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700


def test_attempts_at_a_film_are_counted_until_it_is_done_or_put_back(tmp_path):
    spool = Spool(tmp_path, 2)
    film = spool.put("films", "1.2.3", [b"film"])
    assert [spool.begin(film), Spool(tmp_path, 2).begin(film)] == [1, 2]
    spool.put_back(film)
    assert spool.begin(film) == 1
    spool.done(film)
    assert spool.next("films") is None and not film.with_suffix(".begun").exists()


def test_a_film_that_is_put_last_comes_after_the_others(tmp_path):
    spool = Spool(tmp_path, 2)
    first, second = (spool.put("films", uid, [b"film"]) for uid in ("1.2.1", "1.2.2"))
    os.utime(first, (1, 1))
    os.utime(second, (2, 2))
    assert spool.next("films") == first
    spool.put_last(first)
    assert spool.next("films") == second


def test_a_spool_has_one_node(tmp_path):
    with (
        only_node(tmp_path, "127.0.0.1:11112"),
        pytest.raises(OutputError, match=r"is used by another node \(.*127.0.0.1:11112"),
        only_node(tmp_path, "127.0.0.1:11113"),
    ):
        pass
    with only_node(tmp_path, "127.0.0.1:11113"):
        pass


def test_a_folder_that_cannot_be_created_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot be made .*; give another --spool"):
        Spool(tmp_path / "file" / "spool", 2)
