"""Films over HTTP: listed, dropped, downloaded and deleted."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from boneseg.masks.formats import FORMATS
from boneseg.server.light_box import LightBox
from boneseg.server.workers.tasks import SegmentFilm, SegmentUpload
from tests.support.films import dicom
from tests.support.lightbox import BITS, FOOT, film_of, post


def test_a_dropped_film_joins_the_dataset_when_it_is_saved(
    client: TestClient, box: LightBox
) -> None:
    dropped = post(client, "../../sub/foot?.png", FOOT.read_bytes(), "/api/films").json()
    assert dropped["inbox"] and dropped["name"] == "foot_"
    again = post(client, "foot_.png", FOOT.read_bytes(), "/api/films").json()
    assert again["name"] == "foot_-2"
    assert client.delete(f"/api/films/{again['id']}").status_code == 204
    bits = np.packbits(np.ones((dropped["height"], dropped["width"]), bool)).tobytes()
    headers = {"content-type": "application/octet-stream", "if-match": '"none"'}
    saved = client.put(f"/api/films/{dropped['id']}/mask", content=bits, headers=headers)
    assert saved.json()["inbox"] is False and saved.json()["id"] == dropped["id"]
    assert (box.library.images / "foot_.png").read_bytes() == FOOT.read_bytes()
    assert (box.library.masks / "foot_.png").is_file()
    assert client.delete(f"/api/films/{dropped['id']}").status_code == 409


def test_every_download_of_a_film(client: TestClient) -> None:
    film = film_of(client, "knee")
    shape = (film["height"], film["width"])
    bone = np.packbits(np.ones(shape, bool)).tobytes()
    headers = BITS | {"if-match": f'"{film["revision"]}"'}
    assert client.put(f"/api/films/{film['id']}/mask", content=bone, headers=headers).is_success
    for form, written in FORMATS.items():
        answer = client.get(f"/api/films/{film['id']}/download?form={form}")
        if form.startswith("dicom-seg"):  # the film is a PNG
            assert answer.status_code == 422
            continue
        assert answer.status_code == 200, answer.text
        assert f"knee{written.suffix or '_' + written.document}" in str(answer.headers)
        if form in ("mask", "overlay", "probability"):
            assert np.asarray(Image.open(io.BytesIO(answer.content))).shape[:2] == shape
        if form == "coco":
            assert answer.json()["annotations"][0]["area"] == shape[0] * shape[1]
    assert client.get(f"/api/films/{film['id']}/download?form=exe").status_code == 400


def test_a_mask_of_the_wrong_size_is_reported_and_crashes_no_worker(
    client: TestClient, box: LightBox
) -> None:
    image, mask = box.library.images / "odd.png", box.library.masks / "odd.png"
    shutil.copy(FOOT, image)
    Image.new("L", (60, 50)).save(mask)
    deaths = box.jobs.deaths
    try:
        film = film_of(client, "odd")
        for form in ("mask", "coco"):
            answer = client.get(f"/api/films/{film['id']}/download?form={form}")
            assert answer.status_code == 422, answer.text
            assert "mask is 50 x 60 pixels" in answer.json()["error"]
    finally:
        image.unlink()
        mask.unlink()
    assert box.jobs.deaths == deaths


def test_a_download_does_not_identify_the_patient(client: TestClient, box: LightBox) -> None:
    path = box.library.images / "Beeblebrox_hand.dcm"
    dicom(path, (np.asarray(Image.open(FOOT).convert("L")).astype(np.uint16) * 16)[:100, :100])
    try:
        film = film_of(client, "Beeblebrox_hand")  # on the page: it is the name in the folder
        for form in ("mask", "coco", "labelme", "measurements"):
            answer = client.get(f"/api/films/{film['id']}/download?form={form}")
            assert answer.status_code == 200, answer.text
            told = answer.headers["content-disposition"].encode() + answer.content
            assert re.search(rb"film-[0-9a-f]{12}|coco|measurements", told)
            assert b"beeblebrox" not in told.lower()
    finally:
        path.unlink()


def test_a_film_with_an_undecodable_name_is_listed_and_corrected(
    client: TestClient, box: LightBox
) -> None:
    path = box.library.images / os.fsdecode(b"h\xfcfte.png")
    path.write_bytes(FOOT.read_bytes())
    film = film_of(client, r"h\udcfcfte")
    address = f"/api/films/{film['id']}"
    png = client.get(f"{address}/suggestion").content
    headers = {"content-type": "image/png", "if-match": '"none"'}
    try:
        assert client.put(f"{address}/mask", content=png, headers=headers).status_code == 200
        assert (box.library.masks / path.name).is_file()
        assert client.get(f"{address}/download").headers["content-disposition"].isascii()
        refused = client.put(f"{address}/mask", content=png, headers=headers)
        assert refused.status_code == 409
        assert refused.json()["error"].startswith(r"h\udcfcfte: was saved elsewhere")
    finally:
        path.unlink()
        (box.library.masks / path.name).unlink(missing_ok=True)


def test_deleted_results_are_computed_again(client: TestClient, box: LightBox) -> None:
    film = film_of(client, "hand")
    folder = box.library.cache.folder(film["id"])
    for remove in (lambda: shutil.rmtree(folder), *(path.unlink for path in folder.iterdir())):
        remove()
        for what in ("thumbnail", "suggestion", "pixels"):
            assert client.get(f"/api/films/{film['id']}/{what}").status_code == 200


def test_a_thumbnail_outlives_a_change_of_the_model(
    client: TestClient, box: LightBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = film_of(client, "hand")
    done = box.jobs.counts.done
    with monkeypatch.context() as other:
        other.setattr(LightBox, "digest", "of another model")
        row = next(r for r in client.get("/api/films").json()["films"] if r["name"] == "hand")
        shown = client.get(f"/api/films/{film['id']}/thumbnail")
        segmented = box.jobs.counts.done
    assert (row["trust"], row["stamp"]) == (None, film["stamp"])
    assert shown.status_code == 200 and segmented == done
    (box.library.images / "hand.png").touch()  # the file has changed
    row = next(r for r in client.get("/api/films").json()["films"] if r["name"] == "hand")
    assert row["stamp"] is None


def test_a_film_deleted_during_a_request_is_reported(client: TestClient, box: LightBox) -> None:
    path = box.library.images / "gone.png"
    path.write_bytes(FOOT.read_bytes())
    film = next(row for row in client.get("/api/films").json()["films"] if row["name"] == "gone")
    big = np.zeros((4000, 4000), np.uint8)
    Image.fromarray(big).save(box.library.root / "big.png")
    big_film = SegmentUpload(box.library.root / "big.png", "big", "mask")
    waiting = [box.jobs.submit(big_film) for _ in box.jobs.workers]
    entry = box.library.entry(film["id"])
    queued = box.jobs.submit(SegmentFilm(path, entry.name, box.library.cache.folder(entry.id), ""))
    path.unlink()
    [future.result() for future in waiting]
    with pytest.raises(Exception, match=r"^gone: there is no such file"):
        queued.result()
    answer = client.get(f"/api/films/{film['id']}")
    assert answer.status_code == 404
    assert "no such film" in answer.json()["error"]


@pytest.mark.parametrize("spacing", ["1E200", "1E-200", "NaN", "Infinity", "-1", "0", "1E4"])
def test_an_implausible_spacing_is_ignored(
    client: TestClient, tmp_path: Path, spacing: str
) -> None:
    film = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    path = dicom(tmp_path / "film.dcm", film)
    found = pydicom.dcmread(path)
    found.add_new("PixelSpacing", "DS", [])
    found["PixelSpacing"]._value = f"{spacing}\\{spacing}"
    found.save_as(path)
    assert spacing.encode() in path.read_bytes()
    answer = client.post(
        "/api/segment",
        files={"file": ("film.dcm", path.read_bytes())},
        headers={"accept": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    told = json.loads(answer.content, parse_constant=pytest.fail)
    assert (told["spacing_mm"], told["area_mm2"]) == (None, None)
    shown = client.post("/api/segment", files={"file": ("film.dcm", path.read_bytes())})
    assert "boneseg-facts" in shown.headers


def test_a_big_tiff_called_json_joins_the_dataset_as_a_film(
    client: TestClient, box: LightBox
) -> None:
    from PIL import Image

    path = box.library.hidden / "big.tif"
    Image.fromarray(np.eye(64, dtype=np.uint8) * 200).save(path, big_tiff=True)
    content = path.read_bytes()
    path.unlink()
    assert content[:4] == b"II+\0"
    dropped = client.post("/api/films", files={"file": ("big.json", content)}).json()
    headers = {"content-type": "application/octet-stream", "if-match": '"none"'}
    saved = client.put(
        f"/api/films/{dropped['id']}/mask", content=bytes(64 * 64 // 8), headers=headers
    )
    assert saved.status_code == 200, saved.text
    assert (box.library.images / "big.tif").read_bytes() == content
    assert client.get(f"/api/films/{dropped['id']}").status_code == 200
    for suffix in (".json", ".txt", ""):
        answer = client.post("/api/films", files={"file": (f"not{suffix}", b"{}" * 100)})
        assert answer.status_code == 422
        assert answer.json()["error"].startswith(f"not{suffix}: ")
