"""How films and studies are identified in messages, without patient data.

A UID may itself identify the patient, so messages contain a hash of it; the UID follows where it is
valid and contains no patient data of the file.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from boneseg.radiograph.privacy import gives_away


def film_name(uid: str) -> str:
    """A film's name in logs and JSON, by its SOP Instance UID."""
    return hashed("film", uid)


def hashed(kind: str, uid: str) -> str:
    """The name of an object in logs and JSON: its kind and a hash of its UID."""
    return f"{kind} {digest(uid)}"


def digest(uid: str) -> str:
    """12 hex digits of the SHA-256 of a UID."""
    return hashlib.sha256(uid.encode()).hexdigest()[:12]


def with_uid(name: str, uid: str | None) -> str:
    """A film's name in messages, with its UID where that may be shown."""
    return f"{name} ({uid})" if uid else name


def public_uid(uid: str, path: Path) -> str | None:
    """A film's UID, None where it is invalid or contains patient data from the file."""
    return uid if is_uid(uid) and not gives_away(uid, path) else None


def is_uid(text: str) -> bool:
    """Whether a text is a valid UID, and so safe as part of a URL."""
    return re.fullmatch(r"(?=.{1,64}$)\d+(\.\d+)+", text, re.ASCII) is not None
