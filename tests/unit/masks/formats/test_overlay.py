"""The overlay of a film as a PNG."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boneseg._util.drawing.overlay import named_picture, overlay
from boneseg.errors import OutputError
from boneseg.masks.formats.overlay import write
from boneseg.masks.segmentation import OVERLAY_SIDE
from boneseg.masks.terminology import colour_of
from boneseg.preprocessing import resize
from tests.support.readings import MASK, picture, reading


def test_it_has_the_size_of_the_film_and_shows_the_mask(tmp_path: Path) -> None:
    found = reading(picture(tmp_path / "knee.png"), MASK)
    write(tmp_path / "overlay.png", found)
    with Image.open(tmp_path / "overlay.png") as image:
        assert image.mode == "P"
        shown = np.asarray(image.convert("RGB"))
    assert np.array_equal(shown, overlay(found.film.pixels, MASK))


def test_each_bone_has_its_name_and_colour_and_the_rest_is_grey(tmp_path: Path) -> None:
    left = MASK.copy()
    left[:, 40:] = False
    found = replace(reading(picture(tmp_path / "knee.png"), MASK), named={"left femur": left})
    write(tmp_path / "overlay.png", found)
    bones = [
        ("left femur", colour_of("left femur"), left),
        ("", (200, 200, 200), MASK & ~left),
    ]
    with Image.open(tmp_path / "overlay.png") as image:
        assert np.array_equal(image, named_picture(found.film.pixels, bones))


def test_a_large_film_is_reduced_to_the_longest_side_of_overlays(tmp_path: Path) -> None:
    mask = np.repeat(np.repeat(MASK, 40, axis=0), 40, axis=1)
    found = reading(picture(tmp_path / "knee.png", 2400, 3200), mask)
    sizes = {None: (3200, 2400), 3200: (3200, 2400), OVERLAY_SIDE: (1600, 1200), 80: (80, 60)}
    for side, size in sizes.items():
        write(tmp_path / "overlay.png", replace(found, overlay_side=side))
        with Image.open(tmp_path / "overlay.png") as image:
            assert image.size == size
            shown = np.asarray(image.convert("RGB"))
    pixels = resize(found.film.pixels, (60, 80))
    assert np.abs(shown.astype(int) - overlay(pixels, MASK)).max() <= 2  # a step of grey


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    found = reading(picture(tmp_path / "knee.png"), MASK)
    with pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path / "missing" / "overlay.png", found)


@pytest.mark.parametrize(
    ("side", "factor"), [(None, 1), (80, 1), (79, 2), (40, 2), (39, 3), (20, 4), (1, 60)]
)
def test_it_is_reduced_by_the_smallest_whole_factor(
    side: int | None, factor: int, tmp_path: Path
) -> None:
    one = reading(picture(tmp_path / "knee.png"), MASK)
    write(tmp_path / "overlay.png", replace(one, overlay_side=side))
    height, width = 60 // factor, 80 // factor
    pixels = one.film.pixels if factor == 1 else one.film.grey.reduced(factor)[:height, :width]
    small = MASK[factor // 2 :: factor, factor // 2 :: factor][:height, :width]
    with Image.open(tmp_path / "overlay.png") as image:
        assert image.size == (width, height)
        assert np.array_equal(image.convert("RGB"), overlay(pixels, small))
