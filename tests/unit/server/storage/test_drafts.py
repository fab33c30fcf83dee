"""Drafts: unsaved changes, kept by film."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boneseg.server.encoding import packed_mask
from boneseg.server.storage.drafts import Drafts, Origin

ORIGIN = Origin("0123456789abcdef", "1700000000-12", 3, 8)
ONE, TWO = (packed_mask(np.full((3, 8), value, bool)) for value in (True, False))


def test_a_draft_is_kept_until_it_is_deleted(tmp_path: Path) -> None:
    drafts = Drafts(tmp_path)
    assert drafts.of("0123456789ab") is None and drafts.films() == []
    drafts.write("0123456789ab", ONE, ORIGIN)
    drafts.write("0123456789ab", TWO, ORIGIN)
    drafts.write("fedcba987654", ONE, ORIGIN)
    path = drafts.of("0123456789ab")
    assert path is not None and gzip.decompress(path.read_bytes()) == gzip.decompress(TWO)
    assert drafts.origin("0123456789ab") == ORIGIN
    assert sorted(drafts.films()) == ["0123456789ab", "fedcba987654"]
    drafts.delete("0123456789ab")
    drafts.delete("0123456789ab")  # of none
    assert drafts.films() == ["fedcba987654"]
    assert drafts.origin("0123456789ab") is None


@given(
    st.from_regex(r"none|[0-9a-f]{16}", fullmatch=True),
    st.from_regex(r"[0-9]{1,20}-[0-9]{1,10}", fullmatch=True),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
)
def test_an_origin_is_read_as_it_was_written(
    revision: str, stamp: str, height: int, width: int
) -> None:
    origin = Origin(revision, stamp, height, width)
    labelled = origin.into(ONE)
    assert Origin.of(labelled) == origin
    assert gzip.decompress(labelled) == gzip.decompress(ONE)


@given(st.text(), st.text())
def test_a_draft_is_whole_whatever_its_origin_says(revision: str, stamp: str) -> None:
    labelled = Origin(revision, stamp, 3, 8).into(ONE)
    assert gzip.decompress(labelled) == gzip.decompress(ONE)
    Origin.of(labelled)


@pytest.mark.parametrize("packed", [b"", b"1", ONE, ONE[:5], gzip.compress(b"1" * 99)])
def test_a_draft_of_an_earlier_version_has_no_origin(packed: bytes) -> None:
    assert Origin.of(packed) is None


def test_unfinished_files_are_not_drafts(tmp_path: Path) -> None:
    (tmp_path / ".0123.new").touch()
    (tmp_path / "notes.txt").touch()
    assert Drafts(tmp_path).films() == []
