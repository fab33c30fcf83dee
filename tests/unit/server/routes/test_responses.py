"""JSON that the page can read, even with non-finite numbers."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from boneseg.server.light_box import LightBox
from boneseg.server.routes.responses import as_json
from boneseg.server.storage.results import StoredFacts
from tests.support.verdicts import GOOD

# -- what comes back ---------------------------------------------------------------------------


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_response_contains_a_non_finite_number(content: Any) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    read = json.loads(as_json(content).encode(), parse_constant=refuse)
    if isinstance(content, float):
        assert read == (content if math.isfinite(content) else None)


def test_non_finite_facts_are_null_in_the_api(
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
        **asdict(replace(GOOD, part_confidence=math.nan, trust=math.nan)),
        dicom=False,
        tags={},
        seconds=0.1,
        model="",
        stamp="",
    )
    monkeypatch.setattr(box, "known_facts", lambda _: facts)
    answer = client.get("/api/films")
    row = answer.json()["films"][0]
    assert answer.status_code == 200
    assert (row["area_mm2"], row["part_confidence"], row["trust"]) == (None, None, None)
