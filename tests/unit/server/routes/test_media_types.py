"""Bodies of another type than a route takes are refused in one line."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.support.lightbox import routes

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
def test_json_of_the_wrong_form_is_refused_in_one_line(client: TestClient, name: str) -> None:
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


def test_bodies_of_other_content_types_are_refused(
    client: TestClient, film: dict[str, Any]
) -> None:
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
    assert asked == 7  # two uploads, a mask, a draft, measures, a calibration, a training


def test_uploads_that_are_not_multipart_are_refused(client: TestClient) -> None:
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
