"""Every saved mask can be restored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from boneseg.server.encoding import unpacked_mask
from boneseg.server.errors import ConflictError
from boneseg.server.storage import history
from boneseg.server.storage.library import Library
from boneseg.server.storage.mask_states import NO_MASK
from tests.support.lightbox import fill

# -- the folder -----------------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_every_saved_mask_is_in_the_history(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    library = Library(fill(tmp_path_factory.mktemp("history") / "films", "hand"))
    film, seen = library.entries()[0], NO_MASK
    saved = {}
    for _ in range(data.draw(st.integers(1, 5))):
        bits = data.draw(st.binary(min_size=2, max_size=2))
        mask = unpacked_mask(bits, (4, 4), "")
        state = data.draw(st.sampled_from(["corrected", "accepted"]))
        film, seen = library.save(film.id, mask, state, seen)
        saved[seen] = (mask, state)
        assert library.state(film) == state
        with pytest.raises(ConflictError):
            library.save(film.id, mask, state, "another")
    reopened = Library(library.root)
    kept = {v.revision: v.path for v in reopened.history.of("hand")}
    assert kept.keys() == saved.keys()
    for revision, (mask, _) in saved.items():
        assert np.array_equal(np.asarray(Image.open(kept[revision])), mask)
    assert reopened.state(reopened.entries()[0]) == saved[seen][1]


def test_a_mask_of_another_program_is_kept_before_it_is_replaced(tmp_path: Path) -> None:
    folder = fill(tmp_path / "films", "hand")
    (folder / "masks").mkdir()
    theirs = np.eye(300, dtype=np.uint8) * 255
    Image.fromarray(theirs).save(folder / "masks" / "hand_mask.tif")
    library = Library(folder)
    film = library.entries()[0]
    assert library.state(film) == "accepted"
    film, _ = library.save(film.id, theirs == 0, "corrected", library.revision(film))
    assert [path.name for path in library.masks.iterdir()] == ["hand.png"]
    oldest = library.history.of(film.name)[-1]
    assert np.array_equal(np.asarray(Image.open(oldest.path)), theirs)


# -- the clock -------------------------------------------------------------------------------------


def test_versions_stay_in_order_if_the_clock_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        moment = datetime(2030, 1, 1, tzinfo=UTC)

        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return cls.moment

    monkeypatch.setattr(history, "datetime", Clock)
    library = Library(fill(tmp_path / "films", "hand"))
    film, seen, saved = library.entries()[0], NO_MASK, []
    for number in range(4):
        film, seen = library.save(film.id, np.eye(9, k=number, dtype=bool), "corrected", seen)
        saved.append(seen)
        Clock.moment -= timedelta(days=400)
    versions = library.history.of("hand")
    assert [version.revision for version in versions] == saved[::-1]
    assert all(version.saved.startswith("2030-01-01T00:00:00") for version in versions)
