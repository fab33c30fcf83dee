"""The remote node that receives the segmentations, and AE titles."""

from __future__ import annotations

import re
from dataclasses import dataclass

from boneseg.errors import UsageError


@dataclass(frozen=True)
class Peer:
    """A remote node: its AE title and address."""

    title: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.title}@{self.host}:{self.port}"


def parse_peer(text: str) -> Peer:
    """Parse AET@HOST:PORT. Raises UsageError.

    >>> parse_peer("ARCHIVE@10.0.0.5:104")
    Peer(title='ARCHIVE', host='10.0.0.5', port=104)
    """
    parts = re.fullmatch(r"([^@]+)@(\[[0-9a-fA-F:]+\]|[^@:]+):(\d{1,5})", text)
    if parts is None or not 0 < int(parts[3]) < 65536:
        raise UsageError(f"--to {text}: use the form AET@HOST:PORT, such as ARCHIVE@10.0.0.5:104")
    return Peer(parse_title(parts[1]), parts[2].strip("[]"), int(parts[3]))


def parse_title(text: str) -> str:
    """Parse an AE title (PS3.5 6.2: 1 to 16 characters, no backslash or control character).

    Raises UsageError.
    """
    if not re.fullmatch(r"[ -\[\]-~]{1,16}", text) or not text.strip():
        raise UsageError(f"{text}: is not an AE title; use 1 to 16 ASCII characters, no backslash")
    return text.strip()
