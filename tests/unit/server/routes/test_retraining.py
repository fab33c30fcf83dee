"""Retraining over HTTP: options are checked, and too few films are refused."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from boneseg.server.light_box import LightBox
from boneseg.server.retraining.supervisor import FEWEST_FILMS


def test_the_page_is_told_how_many_films_are_missing(client: TestClient) -> None:
    found = client.get("/api/train").json()
    assert found == {"accepted": 0, "drawn": 0, "needed": FEWEST_FILMS, "run": None}


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"minutes": 0}, "body.minutes: give a number above 0"),
        ({"minutes": "10"}, "body.minutes: give a number"),
        ({"minutes": 10**6}, "body.minutes"),
        ({"settings": "x"}, "body.settings"),
        ({"settings": ["x"] * 51}, "body.settings"),
        ({"hours": 1}, "body.hours: leave it out"),
    ],
)
def test_wrong_options_are_named(client: TestClient, options: Any, where: str) -> None:
    answer = client.post("/api/train", json=options)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(where)


def test_too_few_films_are_refused(client: TestClient) -> None:
    answer = client.post("/api/train", json={"minutes": 1})
    assert answer.status_code == 409
    assert str(FEWEST_FILMS) in answer.json()["error"]


@pytest.mark.parametrize("path", ["/api/models/1/use", "/api/train/stop"])
def test_a_run_that_is_not_there_is_not_found(client: TestClient, path: str) -> None:
    assert client.post(path).status_code in (404, 409)
    assert client.get("/api/train/1/report").status_code in (404, 409)


def test_a_suggestion_copied_into_the_folder_does_not_count_as_drawn(
    client: TestClient, box: LightBox, film: dict[str, Any]
) -> None:
    mask = box.library.masks / f"{film['name']}.png"
    mask.write_bytes(client.get(f"/api/films/{film['id']}/suggestion").content)
    found = client.get("/api/train").json()
    assert (found["accepted"], found["drawn"]) == (1, 0)
    Image.new("1", (film["width"], film["height"])).save(mask)
    found = client.get("/api/train").json()
    assert (found["accepted"], found["drawn"]) == (1, 1)
