"""The page and /api/segment use models chosen apart, each a request away."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from fastapi.testclient import TestClient

from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle, sign
from boneseg.server.app import create_app
from boneseg.server.light_box import LightBox, chosen_models
from boneseg.server.retraining.records import Run
from boneseg.server.storage.library import Library
from tests.support.lightbox import FOOT, HERE, fill, film_of, post


def other_model(library: Library) -> str:
    """A finished retraining whose model calls little bone; the digest of its card."""
    run = Run(number=1, films=12, minutes=1, state="done")
    folder = library.hidden / "runs" / "0001"
    shutil.copytree(bundled(), folder / "bundle")
    run.write(folder / "outcome.json")
    card = replace(load_bundle(bundled()).card, threshold=0.99)
    return sign(folder / "bundle", card).card_sha256[:12]


def test_the_page_and_the_api_switch_apart_and_back(tmp_path: Path) -> None:
    library = Library(fill(tmp_path / "films", "hand"))
    other, old = other_model(library), load_bundle(bundled()).card.card_sha256[:12]
    box = LightBox(library, bundled(), workers=1)
    try:
        client = TestClient(create_app(box), base_url=HERE)

        def models() -> tuple[str, str]:
            """What the page and the API answer with."""
            answer = post(client, "foot.png", FOOT.read_bytes(), accept="application/json").json()
            listed = client.get("/api/models").json()
            assert sum(model["page"] for model in listed) == 1
            assert sum(model["api"] for model in listed) == 1
            return film_of(client, "hand")["model"], answer["model"]

        assert models() == (old, old)
        assert client.post("/api/models/1/use").json()["page"] is True
        assert models() == (other, old)
        assert client.post("/api/models/1/use", params={"for": "api"}).json()["api"] is True
        assert client.post("/api/models/bundled/use").status_code == 200
        assert models() == (old, other)
        health = client.get("/api/health").json()
        assert (health["model"]["digest"], health["api_model"]) == (old, other)
        page, api = chosen_models(library)  # for the next start
        assert page == bundled() and api == library.hidden / "runs" / "0001" / "bundle"
        assert len(box.jobs.pids) == 2  # a process for each model
        assert client.post("/api/models/2/use").status_code == 404
        assert client.post("/api/models/1/use", params={"for": "all"}).status_code == 400
    finally:
        box.close()
