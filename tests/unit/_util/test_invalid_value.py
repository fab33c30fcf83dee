"""A value that pydantic refuses is answered with what to give instead."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError

from boneseg._util.invalid_value import LONGEST, advice, quoted


def refuse(_: int) -> int:
    raise ValueError("needs another setting")


class Point(BaseModel, extra="forbid"):
    x: int
    y: int


class Side(Enum):
    LEFT = "left"
    RIGHT = "right"


FINITE = Annotated[float, Field(allow_inf_nan=False)]


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        (float, "0,143", "give a number, such as 0.143"),
        (float, "-1,5", "give a number, such as -1.5"),
        (float, "1,000,000", "give a number"),
        (float, "much", "give a number"),
        (float, [1], "give a number"),
        (FINITE, "nan", "give a finite number"),
        (int, "1,5", "give a whole number"),
        (int, 1.5, "give a whole number"),
        (int, None, "give a whole number"),
        (bool, "yes please", "give true or false"),
        (bool, [], "give true or false"),
        (str, 3, "give text"),
        (tuple[int, ...], "8,16", "give a list in brackets, such as [8,16]"),
        (tuple[int, ...], "wide", "give a list in brackets"),
        (Literal["wall", "core"], "cpu", "give 'wall' or 'core'"),
        (Annotated[float, Field(le=180)], 500, "give a number of at most 180"),
        (Annotated[float, Field(ge=0.5)], 0, "give a number of at least 0.5"),
        (Annotated[int, Field(lt=2**31)], 2**31, "give a number below 2147483648"),
        (Annotated[float, Field(gt=0)], 0, "give a number above 0"),
        (list[str], "a", "give a list in brackets"),
        (Annotated[list[str], Field(min_length=2)], ["a"], "give a list of at least 2 values"),
        (Annotated[list[str], Field(max_length=1)], ["a", "b"], "give a list of at most 1 values"),
        (Point, 3, "give an object in braces"),
        (Point, {"x": 1}, "give a value"),
        (Point, {"x": 1, "y": 2, "z": 3}, "leave it out"),
        (Side, "up", "give 'left' or 'right'"),
        (Annotated[str, Field(max_length=3)], "long", "give at most 3 characters"),
        (Annotated[int, AfterValidator(refuse)], 1, "needs another setting"),
    ],
)
def test_the_advice_says_what_to_give(kind: Any, value: object, told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    assert advice(caught.value.errors()[0]) == told


def test_a_value_is_quoted_as_it_was_given_and_shortened() -> None:
    assert [quoted(value) for value in ("ja", 0.5, 3, True)] == ["ja", "0.5", "3", "true"]
    assert quoted("x" * LONGEST) == "x" * LONGEST
    assert quoted("x" * 1000) == "x" * LONGEST + "…"


@pytest.mark.parametrize("value", [[1], {}, None, 2**101], ids=["list", "table", "none", "huge"])
def test_what_would_not_fit_into_a_message_is_not_quoted(value: object) -> None:
    assert quoted(value) is None


def test_an_empty_value_is_quoted_as_such() -> None:
    assert quoted("") == "''"
