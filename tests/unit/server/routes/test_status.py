"""The state of the server, as the page polls it, and the formats of downloads."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

import boneseg
from boneseg.masks.formats import FILM_FORMATS, FORMATS
from boneseg.server.light_box import LightBox
from boneseg.server.workers.job_queue import JobQueue


def test_health_tells_version_folder_queue_and_model(client: TestClient, box: LightBox) -> None:
    health = client.get("/api/health").json()
    assert health["ok"] is True and health["boneseg"] == boneseg.__version__
    assert health["folder"] == box.library.name
    assert health["waiting"] in (0, 1, 2)  # its films are segmented unasked
    assert health["deaths"] == 0
    assert health["upload_bytes"] == 4 * 2**20
    assert (health["model"]["digest"], health["model"]["name"]) == (box.digest, "bundled")
    assert health["training"] is None


def test_the_version_changes_with_the_folder(client: TestClient, box: LightBox) -> None:
    before = client.get("/api/health").json()["version"]
    assert client.get("/api/health").json()["version"] == before
    film = client.get("/api/films").json()["films"][0]
    bits = bytes((film["height"] * film["width"] + 7) // 8) if film.get("height") else None
    if bits is None:
        found = client.get(f"/api/films/{film['id']}").json()
        bits = bytes((found["height"] * found["width"] + 7) // 8)
    headers = {"content-type": "application/octet-stream", "if-match": '"none"'}
    assert client.put(f"/api/films/{film['id']}/mask", content=bits, headers=headers).is_success
    assert client.get("/api/health").json()["version"] != before


def test_the_formats_of_downloads_are_those_registered(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = replace(FILM_FORMATS["mask"], label="added, text", suffix=".added")
    monkeypatch.setitem(FORMATS, "added", added)
    listed = client.get("/api/formats").json()
    assert [one["name"] for one in listed] == list(FORMATS)
    assert listed[-1] == {"name": "added", "label": "added, text", "dicom": False}
    assert len({one["label"] for one in listed}) == len(listed)


def test_formats_whose_library_is_missing_are_neither_listed_nor_written(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    listed = [one["name"] for one in client.get("/api/formats").json()]
    missing = [name for name in FORMATS if name.startswith("dicom-seg")]
    assert listed == [name for name in FORMATS if name not in missing]
    film = client.get("/api/films").json()["films"][0]["id"]
    for place, form in (
        *((f"films/{film}/download", form) for form in missing),
        ("export", "dicom-seg"),
        (f"films/{film}/measures/download", "dicom-sr"),
    ):
        refused = client.get(f"/api/{place}?form={form}")
        said = f"form {form}: highdicom is not installed on the server"
        assert (refused.status_code, refused.json()["error"]) == (400, said)
    dicom = client.post("/api/segment", headers={"accept": "application/dicom"})
    assert dicom.status_code == 400
    assert dicom.json()["error"] == "form dicom-seg: highdicom is not installed on the server"


def test_metrics_are_plain_text(client: TestClient) -> None:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")


def test_a_server_is_ready_while_a_worker_runs(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/readyz").text == "ok"
    monkeypatch.setattr(JobQueue, "pids", [])
    assert client.get("/readyz").status_code == 503
    assert client.get("/livez").text == "ok"
