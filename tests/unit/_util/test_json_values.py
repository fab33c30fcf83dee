"""Parsed JSON is taken as the type that is expected, or refused with ValueError."""

from __future__ import annotations

from typing import Any

import pytest

from boneseg._util.json_values import as_integer, as_list, as_number, as_object, as_text


def test_values_of_the_expected_type_are_returned() -> None:
    assert as_object({"a": 1}) == {"a": 1}
    assert as_list([1]) == [1]
    assert as_text("a") == "a"
    assert [as_number(value) for value in (1, 0.5, "2.5")] == [1.0, 0.5, 2.5]
    assert [as_integer(value) for value in (1, 2.9, "3")] == [1, 2, 3]


@pytest.mark.parametrize(
    ("check", "wrong"),
    [
        (as_object, ([], "a", None)),
        (as_list, ({}, "a", None)),
        (as_text, (1, [], None)),
        (as_number, (True, None, "x", [])),
        (as_integer, (False, None, "", {})),
    ],
)
def test_other_types_are_a_value_error(check: Any, wrong: tuple[Any, ...]) -> None:
    for value in wrong:
        with pytest.raises(ValueError):
            check(value)
