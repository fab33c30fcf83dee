"""Every route handles every method, HEAD and OPTIONS included."""

from __future__ import annotations

from typing import Any

import httpx
from fastapi.testclient import TestClient

from tests.support.lightbox import routes, served

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


# -- methods ---------------------------------------------------------------------------------


def test_every_route_responds_to_every_method(client: TestClient, film: dict[str, Any]) -> None:
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


def test_head_has_no_content_and_keeps_the_connection() -> None:
    with served() as address, httpx.Client(base_url=address) as client:
        for path in ("/", "/api/health", "/static/main.js", "/api/films"):
            for _ in range(2):  # what follows on the same connection is in step
                head = client.head(path)
                assert (head.status_code, head.content) == (200, b"")
                assert int(head.headers["content-length"]) == len(client.get(path).content)
        assert client.options("/api/train").headers["allow"] == "GET, POST, HEAD, OPTIONS"
        assert client.request("TRACE", "/api/train").status_code == 405
