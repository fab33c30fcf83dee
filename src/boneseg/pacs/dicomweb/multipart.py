"""Extract the object from a multipart response (RFC 2046, RFC 2387) on disk, memory-mapped."""

from __future__ import annotations

import mmap
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

_HEADERS = 1 << 16  # bytes in which the headers of a part end


class IncompleteError(Exception):
    """The response is incomplete; the message gives the reason."""


def extract(response: Path, kind: str, target: Path) -> None:
    """Write the first object of a response to `target`: the whole body if it is not multipart.

    kind: its Content-Type. Raises IncompleteError where it is empty or truncated, and OSError.
    """
    if response.stat().st_size == 0:
        raise IncompleteError("is empty")
    header = Message()
    header["content-type"] = kind
    if header.get_content_maintype() != "multipart":
        response.replace(target)
        return
    boundary = b"--" + (header.get_boundary() or "").encode("latin-1", errors="replace")
    with (
        response.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as body,
        target.open("wb") as out,
    ):
        start, end = _first_part(body, boundary)
        for place in range(start, end, 1 << 20):
            out.write(body[place : min(place + (1 << 20), end)])
    response.unlink()


def _first_part(body: mmap.mmap, boundary: bytes) -> tuple[int, int]:
    """Start and end offsets of the first object."""
    opening = body.find(boundary)
    headers = body.find(b"\r\n\r\n", opening, opening + _HEADERS) if opening >= 0 else -1
    if headers < 0:
        raise IncompleteError("has no part")
    start, delimiter = headers + 4, b"\r\n" + boundary
    length = _length(body[opening + len(boundary) : start])
    if length is not None:
        end = start + length
        if body[end : end + len(delimiter)] == delimiter:
            return start, end
    end = body.find(delimiter, start)
    if end < 0:
        if length is not None and start + length == len(body):  # only the last boundary is missing
            return start, len(body)
        raise IncompleteError("is truncated")
    if end == start:
        raise IncompleteError("is empty")
    if length is not None and length > end - start + 2:
        raise IncompleteError("is shorter than its Content-Length says")
    return start, end


def _length(headers: bytes) -> int | None:
    header = BytesParser().parsebytes(headers.lstrip(b"\r\n"), headersonly=True)["content-length"]
    text = str(header or "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else None
