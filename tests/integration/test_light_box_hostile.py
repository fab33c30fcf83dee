"""The light box under hostile requests: their cost is bounded, and other clients are served."""

from __future__ import annotations

import httpx
import numpy as np

from benchmarks.serving import hostile_load
from tests.support.lightbox import PNG, encoded, served


def test_the_server_withstands_seconds_of_hostile_load() -> None:
    """The six minutes are in benchmarks/results/serving.md."""
    tally = hostile_load.attack(5, clients=6, settle=2, every=60)
    assert not tally.failed
    assert hostile_load.grown(tally) <= hostile_load.GROWTH
    assert sum(tally.statuses.values()) > 20 and tally.honest


def test_the_server_itself_decodes_nothing() -> None:
    """DICOM that kills a decoder, marked as a mask or as a film, costs no more than a worker."""
    with served() as address, httpx.Client(base_url=address, timeout=120) as client:
        film = {"file": ("a.png", encoded(np.eye(64, dtype=np.uint8) * 255))}
        row = client.post("/api/films", files=film).json()
        content = bytes(128) + b"DICM" + np.random.default_rng(0).bytes(20_000)
        path = f"/api/films/{row['id']}"
        assert client.put(f"{path}/draft", content=content, headers=PNG).status_code == 422
        answer = client.post("/api/segment", files={"file": ("a.dcm", content)})
        assert answer.status_code == 422
        assert client.get(path).status_code == 200
