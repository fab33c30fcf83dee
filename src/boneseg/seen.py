"""Which films a model has seen: figures on these flatter it.

A bundle remembers the films that it, or the bundle it started from, was trained on or chosen by, as
digests of their pixels: a film is known again under another name, and a digest shows nothing of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from boneseg.radiograph import Radiograph

SEEN = "seen"  # in what a card says of its data


def digest(film: Radiograph) -> str:
    """The same for the same pixels."""
    return hashlib.sha256(film.pixels.tobytes()).hexdigest()[:16]


def seen_by(data: dict[str, Any]) -> frozenset[str]:
    """The digests of the films that the model of a card has seen; none where it does not tell."""
    return frozenset(data.get(SEEN, ()))


def joined(*digests: Iterable[str]) -> list[str]:
    """What a card says of several sets of films: in an order that no name of a film decides."""
    return sorted(set().union(*digests))
