"""Masks and probabilities as PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.readings import MASK, card, picture, reading, written


def test_a_probability_png_has_16_bits(tmp_path: Path) -> None:
    one = reading(picture(tmp_path / "knee.png"), MASK, card())
    levels = np.asarray(Image.open(written("probability", one, tmp_path)))
    assert levels.dtype == np.uint16
    assert np.abs(levels / 65535 - one.probability).max() < 1e-5
