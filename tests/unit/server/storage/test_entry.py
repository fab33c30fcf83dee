"""A film of the folder: its id comes from its name alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from boneseg.errors import DatasetError
from boneseg.server.errors import NotFoundError
from boneseg.server.storage.entry import Entry, film_id


def test_the_id_is_12_hex_digits_of_the_name_in_any_case() -> None:
    assert len(film_id("Knee")) == 12 and int(film_id("Knee"), 16)
    assert film_id("Knee") == film_id("KNEE") != film_id("knee2")
    assert film_id("kn\udce4e")  # a name that is not UTF-8
    assert Entry.of(Path("images/Knee.png"), None).id == film_id("knee")


def test_its_stamp_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "knee.png"
    path.write_bytes(b"one")
    entry = Entry.of(path, None)
    before = entry.stamp
    path.write_bytes(b"longer")
    assert entry.stamp != before
    path.unlink()
    with pytest.raises(NotFoundError, match="knee: the film was removed from the folder"):
        _ = entry.stamp


def test_an_ambiguous_mask_is_refused() -> None:
    Entry.of(Path("knee.png"), None).check_clear()
    with pytest.raises(DatasetError, match="two masks"):
        Entry.of(Path("knee.png"), None, fault="knee: two masks").check_clear()
