"""A film is recognised by its pixels, under any name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from boneseg.dataset.fingerprint import digest, is_among, joined
from boneseg.radiograph.film import Radiograph


def film(name: str, value: float) -> Radiograph:
    return Radiograph(np.full((20, 20), value, np.float32), None, "unknown", Path(name))


def test_the_pixels_decide_and_not_the_name() -> None:
    assert digest(film("a.png", 0.5)) == digest(film("b.dcm", 0.5))
    assert digest(film("a.png", 0.5)) != digest(film("a.png", 0.25))
    assert is_among(film("b.dcm", 0.5), [digest(film("a.png", 0.5))])
    assert not is_among(film("a.png", 0.25), [digest(film("a.png", 0.5))])


def test_no_film_is_among_none_and_nothing_is_computed() -> None:
    assert not is_among(None, [])  # type: ignore[arg-type]


def test_joined_digests_do_not_depend_on_their_order() -> None:
    assert joined(["b", "a"], {"c"}, ["a"]) == joined({"c", "a"}, ["b"]) == ["a", "b", "c"]
    assert joined() == []
