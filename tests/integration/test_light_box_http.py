"""HTTP as the light box speaks it: methods, types of bodies, JSON, names, tokens, and its log."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boneseg.bundle.shipped import bundled, sample_films
from boneseg.errors import UsageError
from boneseg.server.app import create_app
from boneseg.server.light_box import LightBox
from boneseg.server.routes.responses import as_json
from boneseg.server.storage.filenames import safe_name
from boneseg.server.storage.library import Library
from boneseg.server.storage.results import StoredFacts
from boneseg.server.token import chosen_token
from tests.support.films import dicom
from tests.support.lightbox import COMMAND, address_of, fill, refused, served

HERE = "http://127.0.0.1"
FOOT = sample_films() / "foot.png"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PAGES = ("/", "/api", "/openapi.json", "/static/main.js")  # that OpenAPI does not list


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LightBox]:
    opened = LightBox(Library(fill(tmp_path_factory.mktemp("box") / "films", "hand")), bundled())
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(box: LightBox) -> Iterator[TestClient]:
    app = create_app(box, max_bytes=4 * 2**20)
    with TestClient(app, base_url=HERE, raise_server_exceptions=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def film(client: TestClient) -> dict[str, Any]:
    found = client.get("/api/films").json()["films"][0]["id"]
    return client.get(f"/api/films/{found}").json()


def routes(client: TestClient, film: dict[str, Any]) -> Iterator[tuple[str, set[str], Any]]:
    """(path, methods, operations) of every route, with values for its parameters."""
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        filled = path.replace("{film}", film["id"]).replace("{revision}", "0" * 16)
        methods = {method.upper() for method in operations}
        yield filled.replace("{number}", "1"), methods, operations
    for path in PAGES:
        yield path, {"GET"}, {}


# -- methods ---------------------------------------------------------------------------------


def test_every_route_answers_every_method(client: TestClient, film: dict[str, Any]) -> None:
    for path, methods, _ in routes(client, film):
        allowed = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
        options = client.options(path)
        assert options.status_code == 204, path
        assert set(options.headers["allow"].split(", ")) == allowed, path
        for method in (*METHODS, "TRACE", "BREW"):
            if method in allowed:
                continue
            answer = client.request(method, path)
            assert answer.status_code == 405, (method, path)
            assert set(answer.headers["allow"].split(", ")) == allowed, (method, path)
            assert answer.request.method == "HEAD" or "error" in answer.json()
        if "GET" in methods:
            got, head = client.get(path), client.head(path)
            assert head.status_code == got.status_code < 500, path
            assert head.content == b""
            changing = {"boneseg_requests_total"} if path == "/metrics" else set()
            for name in ("content-type", "content-length", "etag", "content-security-policy"):
                if not (changing and name == "content-length"):
                    assert head.headers.get(name) == got.headers.get(name), (path, name)
    assert client.options("/nowhere").status_code == 404
    assert client.head("/nowhere").status_code == 404


def test_head_over_the_line_has_no_content_and_keeps_the_connection() -> None:
    with served() as address, httpx.Client(base_url=address) as client:
        for path in ("/", "/api/health", "/static/main.js", "/api/films"):
            for _ in range(2):  # what follows on the same connection is in step
                head = client.head(path)
                assert (head.status_code, head.content) == (200, b"")
                assert int(head.headers["content-length"]) == len(client.get(path).content)
        assert client.options("/api/train").headers["allow"] == "GET, POST, HEAD, OPTIONS"
        assert client.request("TRACE", "/api/train").status_code == 405


# -- bodies ----------------------------------------------------------------------------------

WRONG_JSON = {
    "null": (b"null", 400),
    "nothing": (b"", 400),
    "a number": (b"7", 400),
    "a list": (b"[]", 400),
    "a list of pairs": (b'[["minutes", 1]]', 400),
    "a string": (b'"minutes"', 400),
    "true": (b"true", 400),
    "NaN": (b'{"minutes": NaN}', 400),
    "Infinity": (b'{"minutes": Infinity}', 400),
    "-Infinity": (b'{"minutes": -Infinity}', 400),
    "overflow": (b'{"minutes": 1e999}', 400),
    "a long integer": (b'{"minutes": ' + b"9" * 5000 + b"}", 400),
    "null for a number": (b'{"minutes": null}', 400),
    "a list for a number": (b'{"minutes": [1]}', 400),
    "a string for a number": (b'{"minutes": "1"}', 400),
    "true for a number": (b'{"minutes": true}', 400),
    "none": (b'{"minutes": 0}', 400),
    "an object for a list": (b'{"settings": {}}', 400),
    "null for a list": (b'{"settings": null}', 400),
    "numbers for strings": (b'{"settings": [1, null]}', 400),
    "an unknown key": (b'{"minute": 1}', 400),
    "deep lists": (b"[" * 30_000, 400),
    "deep objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400),
    "not UTF-8": (b'{"settings": ["\xff\xfe"]}', 400),
    "UTF-16": ('{"minutes": 1}'.encode("utf-16"), 400),
    "cut": (b'{"minutes": 1', 400),
    "two documents": (b'{"minutes": 1} {}', 400),
    "NUL": (b"\0" * 100, 400),
    "too much": (b" " * 70_000, 413),
}


@pytest.mark.parametrize("name", WRONG_JSON)
def test_json_of_another_form_is_told_in_one_line(client: TestClient, name: str) -> None:
    content, status = WRONG_JSON[name]
    answer = client.post(
        "/api/train", content=content, headers={"content-type": "application/json"}
    )
    assert answer.status_code == status, answer.text
    assert "\n" not in answer.json()["error"] and len(answer.json()["error"]) < 400


def test_json_with_a_parameter_is_json(client: TestClient) -> None:
    for kind in ("application/json; charset=utf-8", "Application/JSON"):
        answer = client.post(
            "/api/train", content=b'{"minutes": 1}', headers={"content-type": kind}
        )
        assert answer.status_code == 409, answer.text  # understood: too few films are accepted


KINDS = (
    "text/plain",
    "text/html",
    "application/x-www-form-urlencoded",
    "image/jpeg",
    "",
    "x" * 300,
)


def test_every_body_of_another_type_is_refused(client: TestClient, film: dict[str, Any]) -> None:
    asked = 0
    for path, _, operations in routes(client, film):
        for method, operation in operations.items():
            taken = set(operation.get("requestBody", {}).get("content", ()))
            if not taken:
                continue
            asked += 1
            for kind in {*KINDS, "application/json", "application/dicom"} - taken:
                headers = {"content-type": kind, "if-match": '"none"'}
                answer = client.request(method, path, content=b"a=b", headers=headers)
                assert answer.status_code == (415 if kind else answer.status_code), (path, kind)
                assert 400 <= answer.status_code < 500
                assert len(answer.json()["error"]) < 300
    assert asked == 5  # two uploads, a mask, a draft, a training


def test_uploads_that_are_no_multipart_are_told(client: TestClient) -> None:
    broken = {
        "multipart/form-data": b"--x\r\n\r\n--x--",
        "multipart/form-data; boundary=": b"",
        "multipart/form-data; boundary=x": b"\0" * 1000,
        "multipart/form-data; boundary=y": b"--y\r\nContent-Disposition: file\r\n\r\n\r\n--y--",
        "multipart/form-data; boundary=z": b"--z\r\n" + b"A: " + b"a" * 200_000 + b"\r\n",
        "multipart/form-data; boundary=\xff": b"--\xff\r\n",
    }
    for kind, content in broken.items():
        for path in ("/api/segment", "/api/films"):
            headers = [(b"content-type", kind.encode("latin-1"))]
            answer = client.post(path, content=content, headers=headers)
            assert answer.status_code in (400, 415), (kind, answer.text)
            assert "error" in answer.json()


# -- what comes back ---------------------------------------------------------------------------


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_answer_holds_a_number_that_is_not_finite(content: Any) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    read = json.loads(as_json(content).encode(), parse_constant=refuse)
    if isinstance(content, float):
        assert read == (content if math.isfinite(content) else None)


def test_facts_that_are_not_finite_are_null_on_the_page(
    client: TestClient, box: LightBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = StoredFacts(
        height=2,
        width=2,
        spacing_mm=(1e200, 1e200),
        spacing_kind="",
        threshold=0.5,
        area_px=4,
        area_mm2=math.inf,
        confidence=math.nan,
        trust=math.nan,
        seconds=0.1,
        model="",
        stamp="",
    )
    monkeypatch.setattr(box, "known_facts", lambda _: facts)
    answer = client.get("/api/films")
    row = answer.json()["films"][0]
    assert answer.status_code == 200
    assert (row["area_mm2"], row["confidence"], row["trust"]) == (None, None, None)


@pytest.mark.parametrize("spacing", ["1E200", "1E-200", "NaN", "Infinity", "-1", "0", "1E4"])
def test_a_spacing_that_cannot_be_is_not_believed(
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


# -- names -------------------------------------------------------------------------------------

NAMES = (
    *("%2e%2e", "%2e%2e%2f%2e%2e%2fx", "..%5c..%5cx", "%00", "a%00b", "%ff%fe", "%0a"),
    *("/etc/passwd", "%2fetc%2fpasswd", "C:%5cx", "\u202e", "h%C3%BCfte", "a" * 300, "a" * 5000),
    *(
        "0" * 12,
        "0" * 11,
        "A" * 12,
        "*",
        "~",
        "null",
        "-1",
        "%F0%9F%A6%B4",
        ".boneseg",
        "%3F",
        "%23",
    ),
)


def test_a_name_from_outside_is_looked_up_and_never_a_path(
    client: TestClient, box: LightBox
) -> None:
    secret = box.library.hidden / "x.bits.gz"
    secret.write_bytes(b"secret")
    paths = client.get("/openapi.json").json()["paths"]
    for path, operations in paths.items():
        for parameter in re.findall(r"{(\w+)}", path):
            for name in NAMES:
                filled = path.replace(f"{{{parameter}}}", name)
                filled = re.sub(r"{\w+}", "0" * 12, filled)
                for method in operations:
                    answer = client.request(method, filled)
                    assert answer.status_code in (400, 404, 405), (method, filled, answer.text)
                    assert b"secret" not in answer.content
    for name in NAMES:
        assert client.get(f"/static/{name}").status_code in (404, 405), name
        for query in ("after", "form", "state"):
            assert client.get("/api/next", params={query: name}).status_code == 200
    secret.unlink()


@pytest.mark.parametrize(
    ("head", "name", "expected"),
    [
        (b"II+\0\x08\0\0\0", "film.json", "film.tif"),  # BigTIFF
        (b"MM\0+\0\x08\0\0", "film.json", "film.tif"),
        (b"II*\0", "film.tiff", "film.tiff"),
        (b"II*\0", "film.seg.nrrd", "film.tif"),
        (b"\x89PNG\r\n\x1a\n", "film.dcm", "film.png"),
        (b"\x89PNG\r\n\x1a\n", "film.JPG", "film.png"),
        (b"\x89PNG\r\n\x1a\n", "film", "film.png"),
        (b"\xff\xd8\xff\xe0", "film.png", "film.jpg"),
        (b"\xff\xd8\xff\xe0", "film.JPEG", "film.jpeg"),
        (b"\0" * 128 + b"DICM", "film.png", "film.dcm"),
        (b"\0" * 128 + b"DICM", "1.2.840.5", "1.2.840.5.dcm"),
        (b"\0" * 128 + b"DICM", "film.DICOM", "film.dicom"),
        (b"BM", "film.txt", "film.bmp"),
        (b"RIFF\0\0\0\0WEBP", "film.nii.gz", "film.webp"),
    ],
)
def test_the_suffix_of_an_upload_is_that_of_its_content(
    tmp_path: Path, head: bytes, name: str, expected: str
) -> None:
    path = tmp_path / "upload"
    path.write_bytes(head.ljust(200, b"\0"))
    assert "".join(safe_name(name, path)) == expected


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


# -- who may ask -------------------------------------------------------------------------------


def secret_file(folder: Path, content: bytes = b"s3cret\n", mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("way", ["file", "environment", "option"])
def test_a_token_is_taken_and_never_printed(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"file": ("--token-file", secret_file(tmp_path)), "option": ("--token", "s3cret")}
    env = dict(os.environ) | ({"BONESEG_TOKEN": "s3cret"} if way == "environment" else {})
    call = [*COMMAND, "serve", "--port", "0", *map(str, words.get(way, ()))]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True, env=env) as server:
        address = address_of(server)
        assert httpx.get(f"{address}api/health").status_code == 401
        bearer = {"Authorization": "Bearer s3cret"}
        assert httpx.get(f"{address}api/health", headers=bearer).status_code == 200
        challenge = httpx.get(address)
        assert challenge.headers["www-authenticate"].startswith("Bearer")
        server.terminate()
        _, said = server.communicate(timeout=30)
    assert server.returncode == 0
    assert "s3cret" not in address + said
    if way != "option":
        assert "s3cret" not in " ".join(call)


@pytest.mark.parametrize(
    ("option", "file", "variable", "told"),
    [
        ("a", "f", None, "--token and --token-file: give the token in one way only"),
        ("a", None, "a", "--token and BONESEG_TOKEN: give"),
        (None, "f", "b", "--token-file and BONESEG_TOKEN: give"),
        ("", None, None, "--token: the token must be"),
        (None, None, "", "BONESEG_TOKEN: the token must be"),
        ("ä", None, None, "--token: the token must be"),
        (None, None, "a\nb", "BONESEG_TOKEN: the token must be"),
        ("a" * 1001, None, None, "--token: the token must be"),
    ],
)
def test_tokens_that_cannot_be_used_are_refused(
    tmp_path: Path, option: str | None, file: str | None, variable: str | None, told: str
) -> None:
    path = secret_file(tmp_path) if file else None
    environment = {} if variable is None else {"BONESEG_TOKEN": variable}
    with pytest.raises(UsageError) as refusal:
        chosen_token(option, path, environment)
    assert str(refusal.value).startswith(told)
    assert not environment


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o777])
def test_a_token_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = secret_file(tmp_path, mode=mode)
    with pytest.raises(UsageError, match=r"token: can be read by other users; chmod 600 /"):
        chosen_token(None, path, {})
    path.chmod(0o600)
    assert chosen_token(None, path, {}) == "s3cret"


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb\n", b"\xff\n", b"a" * 2000, b"\0"])
def test_a_token_file_holds_one_line(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UsageError, match="--token-file: the token must be"):
        chosen_token(None, secret_file(tmp_path, content), {})
    for ending in (b"", b"\n", b"\r\n"):
        assert chosen_token(None, secret_file(tmp_path, b"a b" + ending), {}) == "a b"
    with pytest.raises(UsageError, match=r"--token-file .*: cannot be read \(No such file"):
        chosen_token(None, tmp_path / "none", {})
    with pytest.raises(UsageError, match=r"--token-file .*: cannot be read \(Is a directory"):
        chosen_token(None, tmp_path, {})


def test_a_conflict_of_tokens_has_status_2(tmp_path: Path) -> None:
    done = refused("--port", 0, "--token", "a", "--token-file", secret_file(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "s3cret" not in done.stderr


# -- the log -----------------------------------------------------------------------------------

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d"


@pytest.mark.parametrize("form", ["text", "json"])
def test_every_line_of_the_log_has_a_time_and_a_level(tmp_path: Path, form: str) -> None:
    call = [*COMMAND, "serve", "--port", "0", "--log-format", form, "--host", "0.0.0.0"]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        lines = [server.stderr.readline() for _ in range(3)]
        server.terminate()
        lines += server.communicate(timeout=30)[1].splitlines()
    assert server.returncode == 0
    levels = []
    for line in lines:
        if form == "json":
            record = json.loads(line)
            assert re.fullmatch(TIME, record["time"]) and record["message"]
            levels.append(record["level"])
        else:
            found = re.fullmatch(rf"{TIME} ([A-Z]+) \S.*\n?", line)
            assert found, line
            levels.append(found[1])
    assert levels == ["INFO", "INFO", "WARNING", "INFO"]
    done = refused("--log-format", "xml")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@given(name=st.text(max_size=300), head=st.binary(max_size=200))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_safe_names_of_any_file_are_plain(tmp_path: Path, name: str, head: bytes) -> None:
    path = tmp_path / "upload"
    path.write_bytes(b"\x89PNG" + head)
    stem, suffix = safe_name(name, path)
    whole = stem + suffix
    assert suffix == ".png"
    assert not set(whole) & set("/\\\0\n") and whole not in (".", "..")
    assert len(os.fsencode(whole)) < 200 and sys.getfilesystemencoding() == "utf-8"
