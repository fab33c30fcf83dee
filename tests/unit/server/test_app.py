"""The page and its API."""

from __future__ import annotations

import re
from pathlib import Path

from fastapi.testclient import TestClient


def test_the_page_loads_nothing_from_other_servers(client: TestClient) -> None:
    for path in ("/", "/api", *(f"/static/{p.name}" for p in static_files())):
        text = client.get(path).text
        others = re.findall(r"https?://[^\s\"'<`]*|[\"'(]//", text)
        assert set(others) <= {"http://www.w3.org/2000/svg"}, path
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/api/segment", "/api/films", "/api/train", "/api/health", "/metrics"} <= set(paths)


def static_files() -> list[Path]:
    from boneseg.server.app import STATIC

    return sorted(STATIC.iterdir())
