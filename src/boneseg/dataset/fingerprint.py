"""Identify films that a model has seen: metrics on these are biased upwards.

A bundle records the films used to train or select it, or its warm-start bundle, as digests of their
pixels: a film is recognised under another name, and a digest does not reveal its content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable

from boneseg.radiograph.film import Radiograph


def digest(film: Radiograph) -> str:
    """A digest of the pixels, 16 hexadecimal digits."""
    return hashlib.sha256(film.pixels.tobytes()).hexdigest()[:16]


def is_among(film: Radiograph, seen: Collection[str]) -> bool:
    """Whether the digest of a film is in `seen`; computed only if `seen` is not empty."""
    return bool(seen) and digest(film) in seen


def joined(*digests: Iterable[str]) -> list[str]:
    """The union of several sets of digests, sorted, so independent of film names."""
    return sorted(set().union(*digests))
