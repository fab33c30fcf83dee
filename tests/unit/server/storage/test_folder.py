"""The folder that the server keeps: private, and named by the dataset."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from boneseg.server.light_box import LightBox
from boneseg.server.storage.library import Library
from tests.support.lightbox import BITS, drop, empty, rights


def test_a_relative_folder_has_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = tmp_path / "films"
    films.mkdir()
    monkeypatch.chdir(films)
    assert {Library(Path(way)).name for way in (".", "../films")} == {"films"}


def test_stored_data_are_private(client: TestClient, box: LightBox) -> None:
    row = drop(client)
    library = box.library
    assert client.put(f"/api/films/{row['id']}/draft", content=empty(row), headers=BITS).is_success
    assert rights(library.inbox / "foot.png") == 0o600
    assert rights(library.hidden) == 0o700  # which guards all below
    for folder in ("inbox", "drafts", "cache", "spool"):
        assert rights(library.hidden / folder) == 0o700
    assert client.put(f"/api/films/{row['id']}/mask", content=empty(row), headers=BITS).is_success
    assert rights(library.images / "foot.png") == 0o600


def test_a_folder_of_an_earlier_version_is_made_private(tmp_path: Path) -> None:
    (tmp_path / "films" / ".boneseg" / "inbox").mkdir(parents=True, mode=0o755)
    images = tmp_path / "films" / "images"
    images.mkdir(mode=0o755)
    library = Library(tmp_path / "films")
    assert rights(library.hidden) == rights(library.inbox) == 0o700
    assert rights(images) == 0o755  # the user's own
