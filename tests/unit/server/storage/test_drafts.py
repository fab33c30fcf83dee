"""Drafts: unsaved changes, kept by film."""

from __future__ import annotations

from pathlib import Path

from boneseg.server.storage.drafts import Drafts


def test_a_draft_is_kept_until_it_is_deleted(tmp_path: Path) -> None:
    drafts = Drafts(tmp_path)
    assert drafts.of("0123456789ab") is None and drafts.films() == []
    drafts.write("0123456789ab", b"one")
    drafts.write("0123456789ab", b"two")
    drafts.write("fedcba987654", b"other")
    path = drafts.of("0123456789ab")
    assert path is not None and path.read_bytes() == b"two"
    assert sorted(drafts.films()) == ["0123456789ab", "fedcba987654"]
    drafts.delete("0123456789ab")
    drafts.delete("0123456789ab")  # of none
    assert drafts.films() == ["fedcba987654"]


def test_unfinished_files_are_not_drafts(tmp_path: Path) -> None:
    (tmp_path / ".0123.new").touch()
    (tmp_path / "notes.txt").touch()
    assert Drafts(tmp_path).films() == []
