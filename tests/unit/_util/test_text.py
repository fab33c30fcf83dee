"""Numbers agree with their nouns, lists stay short, and names cannot control a terminal."""

from __future__ import annotations

import unicodedata

import pytest

from boneseg._util.console import say, show
from boneseg._util.text import counted, lines, listed, one_line, printable


def test_one_is_no_plural() -> None:
    assert [counted(n, "film") for n in (0, 1, 2)] == ["0 films", "1 film", "2 films"]


def test_a_long_list_ends_with_the_number_of_further_items() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed(list("abcdefg")) == "a, b, c, d, e and 2 more"


def test_characters_that_control_a_terminal_are_escaped() -> None:
    assert one_line("a\nb\x1b[31m\x85c\u2028d") == r"a\x0ab\x1b[31m\x85c\u2028d"
    assert one_line("knee\u202egnp.exe") == r"knee\u202egnp.exe"
    assert one_line("Hüfte 膝 עצם") == "Hüfte 膝 עצם"  # right-to-left script needs no mark
    assert lines("a\tb\nc\u2067d\n") == "a\\x09b\nc\\u2067d\n"


def test_every_bidirectional_mark_and_control_is_escaped() -> None:
    kinds = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    letters = [chr(code) for code in range(0x11000)]
    marks = ["\u061c", "\u200e", "\u200f"]  # ALM, LRM, RLM
    found = [c for c in letters if unicodedata.bidirectional(c) in kinds] + marks
    found += [c for c in letters if unicodedata.category(c) in ("Cc", "Zl", "Zp")]
    assert len(found) > 70
    assert all(one_line(letter).isascii() and len(one_line(letter)) >= 4 for letter in found)


def test_a_name_in_a_document_keeps_what_xml_allows() -> None:
    assert printable("a\x00\x1b\ufffe\n\udc80") == "a\\x00\\x1b\\ufffe\n\\udc80"


def test_nothing_is_printed_raw(capsys: pytest.CaptureFixture[str]) -> None:
    say("\u202eknee\n")
    show("\u202eknee\nhip")
    printed = capsys.readouterr()
    assert (printed.err, printed.out) == ("\\u202eknee\\x0a\n", "\\u202eknee\nhip\n")
