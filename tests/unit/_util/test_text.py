"""Numbers agree with their nouns, and lists stay short."""

from __future__ import annotations

from boneseg._util.text import counted, listed


def test_one_is_no_plural() -> None:
    assert [counted(n, "film") for n in (0, 1, 2)] == ["0 films", "1 film", "2 films"]


def test_a_long_list_says_how_many_more_there_are() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcdefg")) == "a, b, c, d, e and 2 more"
