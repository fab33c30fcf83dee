"""Request bodies are bounded, private while stored, and removed afterwards."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import Request

from boneseg.server.errors import BadRequestError, MediaTypeError, TooLargeError
from boneseg.server.routes.dependencies import LARGEST_JSON, _display_name, json_document


def document(body: bytes, kind: str | None = "application/json") -> Any:
    headers = [(b"content-type", kind.encode())] if kind else []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    request = Request({"type": "http", "headers": headers, "method": "POST"}, receive)
    return asyncio.run(json_document(request))


def test_a_json_document_is_parsed_and_an_empty_body_is_null() -> None:
    assert document(b'{"minutes": 1}') == {"minutes": 1}
    assert document(b"", None) is None


@pytest.mark.parametrize("body", [b"{", b"NaN", b"[Infinity]", b"\xff", b"[" * 20_000])
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequestError, match="the body is not JSON"):
        document(body)


def test_other_types_and_larger_bodies_are_refused() -> None:
    with pytest.raises(MediaTypeError, match="text/plain: send application/json"):
        document(b"{}", "text/plain")
    with pytest.raises(TooLargeError):
        document(b" " * (LARGEST_JSON + 1))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("knee.png", "knee.png"),
        ("C:\\films\\knee.png", "knee.png"),
        ("../../etc/passwd", "passwd"),
        ("a\n\x1b[31mb.png", "a[31mb.png"),
        ("x" * 500, "x" * 120),
        ("\n", "film"),
    ],
)
def test_a_name_in_messages_is_its_last_part_in_printable_characters(name: str, shown: str) -> None:
    assert _display_name(name) == shown
