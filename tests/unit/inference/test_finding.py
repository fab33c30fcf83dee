"""A finding gives the verdict on its mask."""

from __future__ import annotations

import numpy as np
import pytest

from boneseg.bundle.shipped import sample_films
from boneseg.inference import finding
from boneseg.inference.finding import Finding
from boneseg.radiograph.read import read_radiograph


def found(pixels: np.ndarray) -> Finding:
    mask = np.zeros(pixels.shape, bool)
    mask[: len(mask) // 4] = True
    return Finding(np.where(mask, np.float32(0.9), np.float32(0.1)), mask, pixels)


def test_a_radiograph_has_no_warning() -> None:
    assert found(read_radiograph(sample_films() / "hand.png").pixels).warning is None


def test_the_likeness_is_computed_once_and_is_part_of_the_verdict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[float] = []
    monkeypatch.setattr(finding, "likeness", lambda pixels: calls.append(pixels.mean()) or 0.25)
    one = found(np.zeros((40, 40), np.float32))
    assert (one.verdict.verdict, one.verdict.part) == ("unsuitable", "not a radiograph")
    assert one.verdict.part_confidence == 0.75 and one.trust <= 0.25
    assert (one.likeness, calls) == (0.25, [0, 1])  # and once with bright and dark exchanged
    assert one.warning is not None and "0.25" in one.warning


def test_it_is_shown_in_words_and_as_a_picture() -> None:
    one = found(read_radiograph(sample_films() / "hand.png").pixels)
    assert repr(one).endswith(f"25.0% bone, trust {one.trust:.4f})")
    assert f"bone: 25.0% of the film; {one.verdict.view}" in one._repr_html_()


def test_the_probability_is_made_once_and_only_where_it_is_asked_for() -> None:
    made = []
    pixels = np.zeros((8, 8), np.float32)

    def make() -> np.ndarray:
        made.append(1)
        return pixels + np.float32(0.25)

    one = Finding(make, pixels > 0, pixels)
    assert not made
    assert (one.probability == 0.25).all() and one.probability is one.probability
    assert len(made) == 1
