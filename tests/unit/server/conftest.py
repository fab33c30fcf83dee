"""A light box for each test module, and a client in this process."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from boneseg.bundle.shipped import bundled
from boneseg.server.app import create_app
from boneseg.server.light_box import LightBox
from boneseg.server.middleware.body_limits import BodyLimits
from boneseg.server.middleware.connection_limits import Connection
from boneseg.server.storage.library import Library
from tests.support.lightbox import HERE, fill, small_disk


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LightBox]:
    """A light box on a folder with two films, under the usual umask."""
    before = os.umask(0o022)
    folder = fill(tmp_path_factory.mktemp("box") / "films", "hand", "knee")
    opened = LightBox(Library(folder), bundled())
    yield opened
    opened.close()
    os.umask(before)


@pytest.fixture(scope="module")
def client(box: LightBox) -> Iterator[TestClient]:
    """A client; uploads of at most 4 MiB."""
    app = create_app(box, max_bytes=4 * 2**20)
    with TestClient(app, base_url=HERE, raise_server_exceptions=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def film(client: TestClient) -> dict[str, Any]:
    """The first film, as the API describes it."""
    found = client.get("/api/films").json()["films"][0]["id"]
    return client.get(f"/api/films/{found}").json()


# -- the worker -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.png"
    Image.fromarray(np.zeros((9800, 9800), np.uint8)).save(path)
    return path


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    yield from small_disk(tmp_path / "disk")


# -- pace ------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[int]:
    """The port of a server in this process that waits for no more than a second."""
    import threading

    import uvicorn

    monkeypatch.setattr(Connection, "header", 1.0)
    monkeypatch.setattr(Connection, "most", 8)
    monkeypatch.setattr(BodyLimits.__init__, "__kwdefaults__", {"most": 4, "stall": 5.0})
    box = LightBox(Library(fill(tmp_path / "films", "hand")), bundled(), workers=1)
    app = create_app(box, token="s3cret")
    config = uvicorn.Config(app, http=Connection, ws="none", log_config=None, log_level="error")
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(30)
