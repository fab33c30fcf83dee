"""The light box without its HTTP interface."""

from __future__ import annotations

import shutil
from pathlib import Path

from fastapi.testclient import TestClient

from boneseg.bundle.shipped import bundled
from boneseg.server.app import create_app
from boneseg.server.light_box import LightBox
from boneseg.server.storage.library import Library
from tests.support.lightbox import HERE, fill, film_of


def test_without_a_folder_nothing_is_saved(tmp_path: Path) -> None:
    box = LightBox(Library(fill(tmp_path / "films", "hand")), bundled(), keeps=False)
    try:
        client = TestClient(create_app(box), base_url=HERE)
        film = film_of(client, "hand")
        headers = {"content-type": "application/octet-stream", "if-match": '"none"'}
        answer = client.put(f"/api/films/{film['id']}/mask", content=b"", headers=headers)
        assert answer.status_code == 409
        assert "this light box has no data folder" in answer.json()["error"]
        assert client.post("/api/train", json={"minutes": 1}).status_code == 409
    finally:
        box.close()


def test_the_run_folder_given_at_the_start_is_the_model_in_use(tmp_path: Path) -> None:
    shutil.copytree(bundled(), tmp_path / "run" / "bundle")
    run = tmp_path / "run"
    box = LightBox(Library(fill(tmp_path / "films", "hand")), run, given=run)
    try:
        assert [model.id for model in box.models.all() if model.is_at(box.model.path)] == ["given"]
        assert box.model_name == "given at the start"
    finally:
        box.close()
