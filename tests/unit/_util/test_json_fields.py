"""JSON objects become dataclasses with values of the right types, or are refused."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from boneseg._util.json_fields import from_json


@dataclass(frozen=True)
class Point:
    x: float
    label: str | None = None


@dataclass(frozen=True)
class Shape:
    points: tuple[Point, ...]
    count: int = 0
    closed: bool = False
    scores: dict[str, float] = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)


def test_every_kind_of_field_is_read() -> None:
    content = {
        "points": [{"x": 3, "label": None}, {"x": 0.5, "label": "a"}],
        "count": 2,
        "closed": True,
        "scores": {"dice": 1},
        "facts": {"any": [None, {"json": 1}]},
    }
    found = from_json(Shape, content)
    assert found == Shape(
        (Point(3.0), Point(0.5, "a")), 2, True, {"dice": 1.0}, {"any": [None, {"json": 1}]}
    )
    assert isinstance(found.points[0].x, float) and isinstance(found.scores["dice"], float)


def test_missing_fields_have_their_defaults_and_unknown_keys_are_ignored() -> None:
    assert from_json(Shape, {"points": [], "colour": "red"}) == Shape(())


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        "points",
        {},
        {"points": None},
        {"points": [{"label": "a"}]},
        {"points": [{"x": "3"}]},
        {"points": [{"x": True}]},
        {"points": [{"x": 10**400}]},
        {"points": [{"x": 1, "label": 2}]},
        {"points": [3]},
        {"points": [], "count": 1.0},
        {"points": [], "count": True},
        {"points": [], "closed": 1},
        {"points": [], "scores": {"dice": "good"}},
        {"points": [], "facts": []},
    ],
)
def test_other_content_is_refused(content: object) -> None:
    with pytest.raises(ValueError):
        from_json(Shape, content)
