"""Addresses and AE titles of other nodes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boneseg.errors import UsageError
from boneseg.pacs.node.peer import Peer, parse_peer, parse_title

titles = st.text(st.sampled_from("ABCxyz019 _-@"), min_size=1, max_size=16).filter(
    lambda text: text.strip() == text and "@" not in text
)


@given(titles, st.integers(1, 65535))
def test_an_address_is_read_as_it_is_written(title: str, port: int) -> None:
    peer = Peer(title, "10.0.0.5", port)
    assert parse_peer(str(peer)) == peer


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert parse_peer("PACS@[::1]:104") == Peer("PACS", "::1", 104)


@pytest.mark.parametrize("text", ["PACS", "PACS@host", "PACS@host:0", "PACS@host:70000", "@h:1"])
def test_other_forms_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"use the form AET@HOST:PORT, such as ARCHIVE@"):
        parse_peer(text)


@pytest.mark.parametrize("text", ["", "   ", "LONGER THAN SIXTEEN", "A\\B", "A\tB", "Ä"])
def test_a_title_has_1_to_16_ascii_characters_and_no_backslash(text: str) -> None:
    with pytest.raises(UsageError, match="is not an AE title"):
        parse_title(text)
