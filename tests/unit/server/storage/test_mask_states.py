"""Whether a mask was corrected or accepted is kept by its content."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from boneseg.server.errors import ServerError
from boneseg.server.storage.mask_states import NO_MASK, MaskStates, Revisions
from boneseg.server.storage.records import SavedMask


def test_states_outlive_the_process(tmp_path: Path) -> None:
    states = MaskStates(tmp_path / "states.json")
    states.set("film", "r1", SavedMask("corrected"))
    states.set("film", "r2", SavedMask("accepted"))
    again = MaskStates(tmp_path / "states.json")
    assert again.of("film", "r1") == SavedMask("corrected")
    assert again.of("film", "r2") == SavedMask("accepted")
    assert again.of("film", "r3") is None  # another program's mask
    again.forget("film")
    assert MaskStates(tmp_path / "states.json").of("film", "r1") is None


def test_the_same_pixels_saved_again_stay_the_models(tmp_path: Path) -> None:
    states = MaskStates(tmp_path / "states.json")
    states.set("film", "r", SavedMask("corrected", drawn=False))
    states.set("film", "r", SavedMask("accepted", drawn=True))  # another model answers by now
    assert states.of("film", "r") == SavedMask("accepted", drawn=False)


def test_forgetting_one_film_keeps_the_others(tmp_path: Path) -> None:
    states = MaskStates(tmp_path / "states.json")
    states.set("film", "r", SavedMask("accepted"))
    states.set("film2", "r", SavedMask("accepted"))
    states.forget("film")
    assert states.of("film", "r") is None
    assert states.of("film2", "r") == SavedMask("accepted")


def test_a_damaged_record_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "states.json").write_text("{")
    with pytest.raises(ServerError, match=r"states.json: is damaged, .*; restore or delete it"):
        MaskStates(tmp_path / "states.json")


def test_a_revision_is_the_content_of_the_mask(tmp_path: Path) -> None:
    revisions, mask = Revisions(), tmp_path / "knee.png"
    assert revisions.of(None) == revisions.of(mask) == NO_MASK
    mask.write_bytes(b"one")
    first = revisions.of(mask)
    mask.write_bytes(b"two!")
    assert revisions.of(mask) != first
    mask.write_bytes(b"one")
    assert revisions.of(mask) == first == Revisions().of(mask)
    mask.unlink()
    assert revisions.of(mask) == NO_MASK


def test_an_unchanged_mask_is_not_read_again(tmp_path: Path) -> None:
    revisions, mask = Revisions(), tmp_path / "knee.png"
    mask.write_bytes(b"one")
    os.utime(mask, ns=(1, 1))
    first = revisions.of(mask)
    mask.write_bytes(b"two")
    os.utime(mask, ns=(1, 1))  # the same size and time
    assert revisions.of(mask) == first
