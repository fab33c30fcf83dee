"""The bones on a film over HTTP."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from boneseg.bundle.store import Bundle
from boneseg.server.app import create_app
from boneseg.server.light_box import LightBox
from boneseg.server.storage.library import Library
from tests.support.films import dicom
from tests.support.lightbox import HERE, film_of, post
from tests.support.named_bones import knee


@pytest.fixture(scope="module")
def naming(named_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A light box whose model names bones, with one film."""
    folder = tmp_path_factory.mktemp("box")
    (folder / "images").mkdir()
    (folder / "images" / "knee.png").write_bytes(encoded())
    box = LightBox(Library(folder), named_bundle.path, workers=1)
    with TestClient(create_app(box), base_url=HERE) as client:
        yield client


def pixels() -> np.ndarray:
    film, _, _ = knee(np.random.default_rng(1))
    return np.asarray((film * 255).round().astype(np.uint8))


def encoded() -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels()).save(file, "PNG")
    return file.getvalue()


def test_the_page_gets_name_area_colour_and_outlines(naming: TestClient) -> None:
    assert naming.get("/api/health").json()["model"]["bones"] == ["femur", "tibia"]
    film = film_of(naming, "knee")
    bones = naming.get(f"/api/films/{film['id']}/bones").json()
    assert [bone["name"] for bone in bones] == ["femur", "tibia"]
    assert all(bone["outlines"] and bone["colour"].startswith("#") for bone in bones)
    assert max(bone["area_px"] for bone in bones) <= film["area_px"]


def test_an_upload_gets_the_mask_of_each_bone(naming: TestClient) -> None:
    answer = post(
        naming, "knee.png", encoded(), "/api/segment?bones=true", accept="application/json"
    )
    assert answer.status_code == 200, answer.text
    assert [bone["name"] for bone in answer.json()["bones"]] == ["femur", "tibia"]
    assert all(bone["mask_png"] for bone in answer.json()["bones"])
    plain = post(naming, "knee.png", encoded(), accept="application/json").json()
    assert "bones" not in plain and plain["mask_png"] == answer.json()["mask_png"]


def test_a_png_which_has_no_names_is_refused_for_bones(naming: TestClient) -> None:
    url = "/api/segment?bones=true"
    answer = post(naming, "knee.png", encoded(), url, accept="image/png")
    assert answer.status_code == 400
    told = "Accept: no available type with bones=true; "
    assert answer.json()["error"] == told + "choose from application/json, application/dicom"
    for accepted in ("*/*", "image/png, application/json;q=0.5"):
        answer = post(naming, "knee.png", encoded(), url, accept=accepted)
        assert [bone["name"] for bone in answer.json()["bones"]] == ["femur", "tibia"]


def test_a_dicom_film_gets_a_segment_for_each_bone(naming: TestClient, tmp_path: Path) -> None:
    uids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.4"}
    path = dicom(tmp_path / "knee.dcm", pixels().astype(np.uint16) * 16, **uids)
    answer = post(
        naming, "knee.dcm", path.read_bytes(), "/api/segment?bones=true", accept="application/dicom"
    )
    assert answer.status_code == 200, answer.text
    segments = pydicom.dcmread(io.BytesIO(answer.content)).SegmentSequence
    assert [one.SegmentLabel for one in segments][:2] == ["Femur", "Tibia"]


def test_a_model_without_names_is_refused_in_one_line(
    nameless_bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "knee.png").write_bytes(encoded())
    box = LightBox(Library(tmp_path), nameless_bundle.path, workers=1)
    with TestClient(create_app(box), base_url=HERE) as client:
        assert client.get("/api/health").json()["model"]["bones"] == []
        answer = post(client, "knee.png", encoded(), "/api/segment?bones=true")
        assert answer.status_code == 400
        assert "does not name bones" in answer.json()["error"]
        assert client.get(f"/api/films/{film_of(client, 'knee')['id']}/bones").status_code == 400
