"""Masks and probabilities as PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from boneseg.masks.formats.png import write_mask
from tests.support.readings import MASK, card, picture, reading, written


def test_a_probability_png_has_16_bits(tmp_path: Path) -> None:
    one = reading(picture(tmp_path / "knee.png"), MASK, card())
    levels = np.asarray(Image.open(written("probability", one, tmp_path)))
    assert levels.dtype == np.uint16
    assert np.abs(levels / 65535 - one.probability).max() < 1e-5


@given(height=st.integers(1, 1100), width=st.integers(1, 70), seed=st.integers(0, 99))
def test_a_mask_png_has_8_bits_so_that_every_threshold_finds_the_bone(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, seed: int
) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.3
    path = tmp_path_factory.mktemp("masks") / "knee_mask.png"
    write_mask(path, mask)
    levels = np.asarray(Image.open(path))
    assert levels.dtype == np.uint8 and set(np.unique(levels)) <= {0, 255}
    assert np.array_equal(levels > 127, mask) and np.array_equal(levels > 0, mask)
