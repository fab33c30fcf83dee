"""All accepted masks are exported at once, named as by `segment`."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from boneseg.bundle.shipped import bundled
from boneseg.server.app import create_app
from boneseg.server.light_box import LightBox
from boneseg.server.storage.library import Library
from boneseg.server.storage.mask_states import NO_MASK
from tests.support.films import dicom
from tests.support.lightbox import HERE, fill

BONE = np.indices((48, 64)).sum(0) % 64 < 20


@pytest.fixture(scope="module")
def exporting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Two accepted films, PNG and DICOM named after its patient, and one only corrected."""
    folder = fill(tmp_path_factory.mktemp("export") / "films", "hand")
    pixels = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)
    Image.fromarray((pixels // 16).astype(np.uint8)).save(folder / "images" / "knee.png")
    uids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.4"}
    dicom(folder / "images" / "Doe.dcm", pixels, PatientName="Doe^John", **uids)
    library = Library(folder)
    for entry in library.entries():
        shape = (48, 64) if entry.name != "hand" else (300, 300)
        mask = BONE if entry.name != "hand" else np.eye(300, dtype=bool)
        assert mask.shape == shape
        state = "corrected" if entry.name == "hand" else "accepted"
        library.save(entry.id, mask, state, NO_MASK)
    box = LightBox(library, bundled(), workers=1)
    yield TestClient(create_app(box), base_url=HERE, raise_server_exceptions=False)
    box.close()


def opened(client: TestClient, form: str, failed: int = 0) -> zipfile.ZipFile:
    answer = client.get("/api/export", params={"form": form})
    assert answer.status_code == 200, answer.text
    assert answer.headers["boneseg-failed"] == str(failed)
    assert f"accepted-{form}.zip" in answer.headers["content-disposition"]
    return zipfile.ZipFile(io.BytesIO(answer.content))


def test_accepted_masks_are_in_the_archive_and_no_patient(exporting: TestClient) -> None:
    archive = opened(exporting, "mask")
    names = sorted(archive.namelist())
    assert names[0].startswith("film-") and names[1:] == ["knee_mask.png"]
    for name in names:
        assert np.array_equal(np.asarray(Image.open(archive.open(name))) > 0, BONE)


def test_a_document_holds_all_films(exporting: TestClient) -> None:
    archive = opened(exporting, "coco")
    assert archive.namelist() == ["coco.json"]
    assert len(json.loads(archive.read("coco.json"))["images"]) == 2


def test_a_film_that_cannot_be_exported_is_named_and_the_others_are_done(
    exporting: TestClient,
) -> None:
    archive = opened(exporting, "dicom-seg", failed=1)
    assert sum(name.endswith(".seg.dcm") for name in archive.namelist()) == 1
    reasons = archive.read("not-exported.txt").decode()
    assert reasons.startswith("knee.png: is not a DICOM film") and reasons.count("\n") == 1
    assert "dicom-seg" not in reasons  # advice for the command line


def test_nothing_to_export_is_reported(tmp_path: Path) -> None:
    box = LightBox(Library(fill(tmp_path / "films", "hand")), bundled(), workers=1)
    try:
        client = TestClient(create_app(box), base_url=HERE)
        assert client.get("/api/export", params={"form": "png"}).status_code == 400
        answer = client.get("/api/export")
        assert answer.status_code == 409 and "no mask is accepted yet" in answer.json()["error"]
        assert not list(box.spool.iterdir())
    finally:
        box.close()
