"""Masks over HTTP: saved without a loss, refused where they do not fit their film."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.serving import hostile_load
from boneseg.server.app import create_app
from boneseg.server.encoding import unpacked_mask
from boneseg.server.light_box import LightBox
from tests.support.lightbox import HERE, PNG, encoded, film_of, png_that_claims

# -- masks ---------------------------------------------------------------------------------------


def test_a_mask_is_saved_into_the_dataset_and_read_back(client: TestClient, box: LightBox) -> None:
    film = film_of(client, "hand")
    address, shape = f"/api/films/{film['id']}", (film["height"], film["width"])
    assert client.get(f"{address}/mask").status_code == 404
    drawn = np.zeros(shape, bool)
    drawn[10:90, 20:50] = True
    bits = {"content-type": "application/octet-stream", "if-match": '"none"'}
    saved = client.put(f"{address}/mask", content=np.packbits(drawn).tobytes(), headers=bits)
    assert saved.status_code == 200, saved.text
    assert saved.json()["state"] == "corrected"
    on_disk = np.asarray(Image.open(box.library.masks / "hand.png"))
    assert np.array_equal(on_disk, drawn * np.uint8(255))
    got = client.get(f"{address}/mask", headers={"accept": "application/octet-stream"})
    assert np.array_equal(unpacked_mask(got.content, shape, ""), drawn)
    assert got.headers["etag"].strip('"') == saved.json()["revision"]


def test_two_tabs_do_not_overwrite_each_other_and_nothing_is_lost(client: TestClient) -> None:
    film = film_of(client, "knee")
    address, shape = f"/api/films/{film['id']}", (film["height"], film["width"])
    first, second = np.zeros(shape, bool), np.ones(shape, bool)

    def save(mask: np.ndarray, seen: str, state: str = "corrected"):
        headers = {"content-type": "image/png", "if-match": f'"{seen}"'}
        encoded = io.BytesIO()
        Image.fromarray(mask).save(encoded, "PNG")
        path = f"{address}/mask?state={state}"
        return client.put(path, content=encoded.getvalue(), headers=headers)

    one = save(first, film["revision"])
    assert one.status_code == 200
    two = save(second, film["revision"])
    assert two.status_code == 409
    assert two.json()["error"].startswith("knee: was saved elsewhere")
    two = save(second, one.json()["revision"], "accepted")
    assert two.json()["state"] == "accepted"
    versions = client.get(f"{address}/history").json()
    assert [v["revision"] for v in versions] == [r.json()["revision"] for r in (two, one)]
    earlier = client.get(f"{address}/history/{versions[1]['revision']}")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(earlier.content))) > 0, first)


def test_a_mask_accepted_untouched_is_known_as_the_models_own(
    client: TestClient, box: LightBox
) -> None:
    film = film_of(client, "knee")
    address, shape = f"/api/films/{film['id']}", (film["height"], film["width"])
    bits = {"content-type": "application/octet-stream"}
    suggested = client.get(f"{address}/suggestion", headers={"accept": bits["content-type"]})
    probability = np.frombuffer(client.get(f"{address}/probability").content, np.uint8)
    mask, shifted = unpacked_mask(suggested.content, shape, ""), probability.reshape(shape) >= 200
    corrected = mask.copy()
    corrected[:40, :40] ^= True
    for drawn, by_a_person in ((corrected, True), (mask, False), (shifted, False)):
        seen = {"if-match": f'"{client.get(address).json()["revision"]}"'}
        content, how = np.packbits(drawn).tobytes(), {"state": "accepted", "by": " Ann\n"}
        saved = client.put(f"{address}/mask", content=content, params=how, headers=bits | seen)
        assert saved.status_code == 200, saved.text
        assert box.library.is_drawn(box.library.entry(film["id"])) == by_a_person
    newest = client.get(f"{address}/history").json()[0]
    assert (newest["state"], newest["by"]) == ("accepted", "Ann\\x0a")


def test_a_mask_of_another_size_or_kind_is_refused(client: TestClient) -> None:
    address = f"/api/films/{film_of(client, 'hand')['id']}/mask"
    small = png_that_claims(8, 8)
    bits, kind_of_png = "application/octet-stream", "image/png"
    for content, kind in ((b"123", bits), (b"123", kind_of_png), (small, kind_of_png)):
        headers = {"content-type": kind, "if-match": "*"}
        answer = client.put(address, content=content, headers=headers)
        assert answer.status_code == 422
        assert answer.json()["error"].startswith("hand: ")  # and no path of the server's own
    headers = {"content-type": "text/html", "if-match": "*"}
    assert client.put(address, content=b"1", headers=headers).status_code == 415


def test_a_draft_is_kept_until_the_mask_is_saved(client: TestClient) -> None:
    film = film_of(client, "hand")
    address = f"/api/films/{film['id']}"
    bits = np.packbits(np.ones((film["height"], film["width"]), bool)).tobytes()
    kind = {"content-type": "application/octet-stream"}
    assert client.put(f"{address}/draft", content=bits, headers=kind).status_code == 204
    assert client.get(address).json()["draft"] is True
    assert client.get(f"{address}/draft").content == bits
    seen = {"if-match": f'"{film["revision"]}"'}
    assert client.put(f"{address}/mask", content=bits, headers=kind | seen).status_code == 200
    assert client.get(f"{address}/draft").status_code == 404


def test_a_draft_says_what_it_was_drawn_on(client: TestClient, box: LightBox) -> None:
    film = film_of(client, "hand")
    address, image = f"/api/films/{film['id']}", box.library.entry(film["id"]).image
    before, status = image.read_bytes(), image.stat()
    bits = np.packbits(np.ones((film["height"], film["width"]), bool)).tobytes()
    kind = {"content-type": "application/octet-stream"}
    client.put(f"{address}/draft", content=bits, headers=kind | {"if-match": '"abc"'})
    assert client.get(f"{address}/draft").headers["boneseg-based-on"] == "abc"
    client.put(f"{address}/draft", content=bits, headers=kind)
    found = client.get(f"{address}/draft").headers
    assert (found["boneseg-based-on"], found["boneseg-film"]) == (film["revision"], "same")
    os.utime(image, (1e9, 1e9))  # rewritten with the same size
    assert client.get(f"{address}/draft").headers["boneseg-film"] == "changed"
    Image.open(io.BytesIO(before)).resize((90, 70)).save(image)
    refused = client.get(f"{address}/draft")
    assert refused.status_code == 409
    shape = f"{film['height']} x {film['width']}"
    assert f"hand: its unsaved changes were drawn on {shape} pixels" in refused.json()["error"]
    image.write_bytes(before)
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert client.get(f"{address}/draft").content == bits
    assert client.delete(f"{address}/draft").status_code == 204


@pytest.mark.parametrize("place", ["mask", "draft"])
def test_an_uploaded_mask_is_png_by_its_signature(
    client: TestClient, box: LightBox, film: dict[str, Any], place: str
) -> None:
    shape = (film["height"], film["width"])
    mask = np.zeros(shape, np.uint8)
    mark = b"\x89PNG\r\n\x1a\n"
    dicom = bytes(128) + b"DICM" + bytes(500)
    others = {kind: encoded(mask, kind) for kind in ("JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM")}
    others |= {"DICOM": dicom, "both": mark + dicom[len(mark) :], "nothing": b"", "mark": mark}
    others |= {"JSON": b'{"shapes": []}', "gzip": b"\x1f\x8b" + bytes(20), "late": b"\n" + mark}
    deaths = box.jobs.deaths
    for name, content in others.items():
        answer = client.put(f"/api/films/{film['id']}/{place}", content=content, headers=PNG)
        assert answer.status_code == 422, (name, answer.text)
        assert answer.json()["error"].startswith("hand: "), name
        assert str(box.library.root) not in answer.text
    assert box.jobs.deaths == deaths
    assert not list(box.spool.iterdir())


def test_masks_in_every_kind_of_png_are_read(
    client: TestClient, box: LightBox, film: dict[str, Any]
) -> None:
    drawn = np.zeros((film["height"], film["width"]), bool)
    drawn[20:60, 30:90] = True
    grey = drawn * np.uint8(255)
    rgba = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    forms = {
        "1": encoded(drawn),
        "L": encoded(grey),
        "I;16": encoded(drawn * np.uint16(65535)),
        "RGB": encoded(np.dstack([grey] * 3)),
        "RGBA": encoded(rgba),
        "P": palette(drawn),
        "with much text": encoded(grey, pnginfo=much_text()),
    }
    for name, content in forms.items():
        path = f"/api/films/{film['id']}/draft"
        answer = client.put(path, content=content, headers=PNG)
        assert answer.status_code == 204, (name, answer.text)
        kept = client.get(path).content
        assert np.array_equal(
            np.unpackbits(np.frombuffer(kept, np.uint8))[: drawn.size], drawn.ravel()
        )


def palette(drawn: np.ndarray) -> bytes:
    image = Image.fromarray(drawn.astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 255, 255, 255])
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()


def much_text() -> Any:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Comment", "x" * 50_000)
    return info


@given(cut=st.integers(0, 3000), place=st.integers(0, 3000), value=st.integers(0, 255))
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_a_damaged_png_is_refused_in_one_line(
    client: TestClient, box: LightBox, film: dict[str, Any], cut: int, place: int, value: int
) -> None:
    rng = np.random.default_rng(0)
    content = bytearray(encoded(rng.random((film["height"], film["width"])) < 0.2))
    content[place % len(content)] = value
    answer = client.put(
        f"/api/films/{film['id']}/draft", content=bytes(content[: -cut or None]), headers=PNG
    )
    assert answer.status_code in (204, 422), answer.text
    if answer.status_code == 422:
        assert answer.json()["error"].startswith("hand: ")


def test_the_size_of_an_uploaded_mask_is_limited_by_its_film(
    box: LightBox, film: dict[str, Any]
) -> None:
    client = TestClient(create_app(box), base_url=HERE)
    pixels = film["height"] * film["width"]
    sent = []

    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            sent.append(2**16)
            yield bytes(2**16)

    bits = PNG | {"content-type": "application/octet-stream"}
    for headers, most in ((PNG, 4 * pixels + 2**20), (bits, (pixels + 7) // 8)):
        path = f"/api/films/{film['id']}/draft"
        answer = client.put(path, content=endless(), headers=headers)
        assert (answer.status_code, "connection" in answer.headers) == (413, True)
        assert (
            answer.json()["error"] == f"hand: over the limit of {most} bytes for a mask of its size"
        )
    assert not list(box.spool.iterdir())


def test_a_decompression_bomb_is_refused_by_its_size(
    client: TestClient, box: LightBox, film: dict[str, Any]
) -> None:
    packed = zlib.compress(bytes(50 * 2**20), 9)
    before = [memory_peak(pid) for pid in box.jobs.pids]
    for width, height in ((10_000, 9000), (2**31 - 1, 1), (film["height"] + 1, film["width"])):
        content = hostile_load.png(width, height, packed)
        answer = client.put(f"/api/films/{film['id']}/mask", content=content, headers=PNG)
        assert answer.status_code == 422, answer.text
    after = [memory_peak(pid) for pid in box.jobs.pids]
    assert max(b - a for a, b in zip(before, after, strict=True)) < 32 * 2**20


def memory_peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
