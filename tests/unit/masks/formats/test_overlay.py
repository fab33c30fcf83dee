"""The overlay of a film as a PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boneseg._util.drawing.overlay import overlay
from boneseg.errors import OutputError
from boneseg.masks.formats.overlay import write
from tests.support.readings import MASK, picture, reading


def test_it_has_the_size_of_the_film_and_shows_the_mask(tmp_path: Path) -> None:
    found = reading(picture(tmp_path / "knee.png"), MASK)
    write(tmp_path / "overlay.png", found)
    with Image.open(tmp_path / "overlay.png") as image:
        assert image.mode == "P"
        shown = np.asarray(image.convert("RGB"))
    assert np.array_equal(shown, overlay(found.film.pixels, MASK))


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    found = reading(picture(tmp_path / "knee.png"), MASK)
    with pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path / "missing" / "overlay.png", found)
