"""Measures and calibration by the API."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from boneseg.server.light_box import LightBox

LINE = {"kind": "length", "points": [[10, 10], [40, 50]], "name": "plate"}
LINE |= {"suggested": False, "medial": None}


@pytest.fixture
def place(client: TestClient, film: dict[str, Any]) -> str:
    return f"/api/films/{film['id']}"


def save(client: TestClient, place: str, *measures: dict[str, Any]) -> Any:
    """Replace the measures of a film, whatever they are; returns what is stored then."""
    seen = {"if-match": client.get(f"{place}/measures").json()["revision"]}
    answer = client.put(f"{place}/measures", json={"measures": measures}, headers=seen)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_measures_are_kept_and_exported(client: TestClient, place: str, film: Any) -> None:
    none = client.get(f"{place}/measures").json()
    assert none == {"measures": [], "revision": "none", "shape": None}
    stored = client.put(f"{place}/measures", json={"measures": [LINE]}).json()
    assert stored["measures"] == [LINE]
    assert stored["shape"] == [film["height"], film["width"]]
    assert client.get(f"{place}/measures").json() == stored
    found = client.get(f"{place}/measures/download")
    assert found.headers["content-type"].startswith("text/csv")
    assert f"{film['name']}_measures.csv" in found.headers["content-disposition"]
    (_, row) = found.text.splitlines()
    assert row.startswith(f"{film['name']}.png,1,plate,length,length,50.0,px,unknown")
    assert client.get("/api/measures").text == found.text
    refused = client.get(f"{place}/measures/download?form=dicom-sr")
    assert refused.status_code == 422 and "is not a DICOM film" in refused.json()["error"]
    save(client, place)
    assert client.get("/api/measures").text.count("\n") == 1


def test_measures_that_were_changed_elsewhere_are_not_replaced(
    client: TestClient, place: str
) -> None:
    first = save(client, place, LINE)
    other = save(client, place, LINE, LINE | {"name": "screw"})
    assert first["revision"] != other["revision"]
    for seen, status, words in (
        ({}, 409, "its measures would be replaced"),
        ({"if-match": first["revision"]}, 409, "its measures were changed elsewhere"),
        ({"if-match": "none"}, 409, "its measures were changed elsewhere"),
        ({"if-match": "*"}, 400, "send one revision"),
        ({"if-match": f'W/"{other["revision"]}"'}, 400, "send one revision"),
    ):
        answer = client.put(f"{place}/measures", json={"measures": []}, headers=seen)
        assert answer.status_code == status
        assert words in answer.json()["error"]
    assert client.get(f"{place}/measures").json() == other
    quoted = {"if-match": f'"{other["revision"]}"'}
    none = client.put(f"{place}/measures", json={"measures": []}, headers=quoted)
    assert none.json()["revision"] == "none"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": [[1, 2]]}, "body.measures.0.points: give a list of at least 2"),
        ({"points": [[1, 2], [3, 4], [5, 6]]}, "length takes 2 points"),
        ({"points": [[1, 2], [3, 1e9]]}, "a point is far from any film"),
        ({"kind": "area"}, "measures.0.kind"),
        ({"medial": "up"}, "measures.0.medial"),
        ({"name": "x" * 100}, "measures.0.name"),
    ],
)
def test_a_wrong_measure_is_refused(
    client: TestClient, place: str, change: dict[str, Any], message: str
) -> None:
    answer = client.put(f"{place}/measures", json={"measures": [LINE | change]})
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_a_calibration_gives_mm_everywhere_and_can_be_removed(
    client: TestClient, place: str, box: LightBox, film: Any
) -> None:
    row = client.put(f"{place}/calibration", json={"mm_per_pixel": 0.5, "how": "ball"}).json()
    assert (row["spacing_mm"], row["spacing_kind"], row["calibration"]) == (
        [0.5] * 2,
        "user",
        "ball",
    )
    assert row["area_mm2"] == row["area_px"] / 4
    table = box.library.root / "calibration.csv"
    assert table.read_text() == f"name,mm_per_pixel,how\n{film['name']},0.5,ball\n"
    save(client, place, LINE)
    assert "length,25.0,mm,user" in client.get(f"{place}/measures/download").text
    box.library.cache.forget(film["id"])  # as after a change of the model
    assert "length,25.0,mm,user" in client.get("/api/measures").text
    exported = client.get(f"{place}/download?form=measurements").text
    assert ",user," in exported
    row = client.delete(f"{place}/calibration").json()
    assert (row["spacing_mm"], row["spacing_kind"], row["area_mm2"]) == (None, "unknown", None)
    save(client, place)


@pytest.mark.parametrize("width", [0, -1, 100, "x"])
def test_a_wrong_width_is_refused(client: TestClient, place: str, width: object) -> None:
    answer = client.put(f"{place}/calibration", json={"mm_per_pixel": width})
    assert answer.status_code == 400 and "body.mm_per_pixel" in answer.json()["error"]


def test_a_damaged_table_is_reported_with_the_film(
    client: TestClient, place: str, box: LightBox
) -> None:
    table = box.library.root / "calibration.csv"
    table.write_text("nothing\n")
    row = client.get(place).json()
    assert row["calibration_error"].startswith("calibration.csv does not begin with the columns")
    assert row["error"] is None  # the film and its mask are as good as before
    refused = client.get(f"{place}/measures/download")  # with the mm of the file, if any
    assert refused.status_code == 422 and "calibration.csv does not begin" in refused.text
    table.unlink()


def test_a_film_of_a_hand_has_no_alignment(client: TestClient, place: str) -> None:
    assert client.get(f"{place}/alignment").json() == {"measures": []}


def test_the_medial_side_of_a_hand_is_not_known(client: TestClient, place: str) -> None:
    centres = {"hip_x": 10, "hip_y": 1, "knee_x": 10, "knee_y": 60}
    assert client.get(f"{place}/medial", params=centres).json() == {"medial": None}
    refused = client.get(f"{place}/medial", params=centres | {"hip_x": "nan"})
    assert refused.status_code == 400 and "hip_x" in refused.json()["error"]


def test_a_medial_side_that_is_left_out_is_that_of_the_leg_with_the_points(
    client: TestClient, box: LightBox
) -> None:
    film = client.get(f"/api/films/{client.get('/api/films').json()['films'][1]['id']}").json()
    place, height, width = f"/api/films/{film['id']}", film["height"], film["width"]
    legs = np.zeros((height, width), bool)
    legs[:, [5, width - 5]] = True  # the outer shafts of both legs, 5 % of a femur from its axis
    bits = np.packbits(legs).tobytes()
    headers = {"content-type": "application/octet-stream", "if-match": film["revision"]}
    assert client.put(f"{place}/mask", content=bits, headers=headers).is_success
    length = 100
    found = []
    for x in (10, width - 10):
        leg = {"kind": "alignment", "points": [[x, 5], [x, 5 + length], [x, 6 + length]]}
        found.append(save(client, place, leg)["measures"][0]["medial"])
        assert save(client, place, leg | {"medial": None})["measures"][0]["medial"] is None
    assert found == ["right", "left"]
    save(client, place)
