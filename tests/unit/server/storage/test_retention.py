"""The data of removed films are kept for a limited time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from boneseg.masks.measures.geometry import Measure
from boneseg.server.storage import retention
from boneseg.server.storage.library import Library
from boneseg.server.storage.mask_states import NO_MASK
from tests.support.lightbox import fill


def test_masks_and_drafts_are_kept_for_thirty_days_after_their_film(tmp_path: Path) -> None:
    library = Library(fill(tmp_path / "films", "hand", "knee"))
    for entry in library.entries():
        library.save(entry.id, np.eye(300, dtype=bool), "accepted", NO_MASK)
        library.keep_draft(entry.id, np.eye(300, dtype=bool))
    hand, knee = library.entries()
    film = hand.image.read_bytes()

    def start(days: float) -> Library:
        record = library.hidden / "gone.json"
        if record.exists():
            since = json.loads(record.read_text())
            since["since"] = {film: at - days * 86400 for film, at in since["since"].items()}
            record.write_text(json.dumps(since))
        again = Library(library.root)
        again.begin()
        return again

    hand.image.unlink()
    assert start(0).history.films() == ["hand", "knee"]
    assert start(retention.DAYS - 1).history.films() == ["hand", "knee"]
    hand.image.write_bytes(film)  # it is back: the period starts again
    start(0)
    hand.image.unlink()
    start(0)
    assert start(retention.DAYS - 1).history.films() == ["hand", "knee"]
    last = start(2)
    assert last.history.films() == ["knee"]
    assert last.drafts.of(hand.id) is None and last.drafts.of(knee.id) is not None
    assert hand.id not in (library.hidden / "states.json").read_text()
    (library.hidden / "gone.json").write_text("{damaged")
    Library(library.root).begin()
    assert library.history.films() == ["knee"]


def test_measures_without_a_mask_are_deleted_too(tmp_path: Path) -> None:
    library = Library(fill(tmp_path / "films", "hand", "knee"))
    hand, knee = library.entries()
    for entry in (hand, knee):
        library.measures.write(entry.id, [Measure("length", ((1, 2), (3, 4)))])
    hand.image.unlink()
    Library(library.root).begin()
    assert set(library.measures.films()) == {hand.id, knee.id}
    record = library.hidden / "gone.json"
    since = json.loads(record.read_text())
    since["since"][hand.id] -= (retention.DAYS + 1) * 86400
    record.write_text(json.dumps(since))
    Library(library.root).begin()
    assert library.measures.films() == [knee.id]
