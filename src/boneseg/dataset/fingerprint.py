"""Which films a model has seen: figures on these flatter it.

A bundle remembers the films that it, or the bundle it started from, was trained on or chosen by, as
digests of their pixels: a film is known again under another name, and a digest shows nothing of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from boneseg.radiograph.read import Radiograph


def digest(film: Radiograph) -> str:
    """The same for the same pixels."""
    return hashlib.sha256(film.pixels.tobytes()).hexdigest()[:16]


def is_among(film: Radiograph, seen: Collection[str]) -> bool:
    """Whether a film is one of those; its digest is made only where there are any."""
    return bool(seen) and digest(film) in seen


def joined(*digests: Iterable[str]) -> list[str]:
    """What a card says of several sets of films: in an order that no name of a film decides."""
    return sorted(set().union(*digests))
