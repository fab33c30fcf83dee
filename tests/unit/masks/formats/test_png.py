"""Masks and probabilities as PNG."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from boneseg.errors import OutputError
from boneseg.masks.formats.png import (
    drawings,
    encoded_mask,
    encoded_picture,
    read_probability,
    write_bones,
    write_mask,
)
from tests.support.readings import MASK, card, picture, reading, written


def test_a_folder_of_bones_replaces_only_what_boneseg_has_written(tmp_path: Path) -> None:
    left = MASK.copy()
    left[:, 40:] = False
    one = reading(picture(tmp_path / "knee.png"), MASK)
    for name in ("left femur", "left hip bone"):
        write_bones(tmp_path / "bones", replace(one, named={name: left}))
        assert {path.name for path in (tmp_path / "bones").iterdir()} == {
            "bone.png",
            f"{name.replace(' ', '_')}.png",
        }
    (tmp_path / "bones" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds files that boneseg did not write"):
        write_bones(tmp_path / "bones", one)
    assert (tmp_path / "bones" / "notes.txt").read_text() == "mine"


def test_a_probability_png_has_16_bits(tmp_path: Path) -> None:
    one = reading(picture(tmp_path / "knee.png"), MASK, card())
    levels = np.asarray(Image.open(written("probability", one, tmp_path)))
    assert levels.dtype == np.uint16
    assert np.abs(levels / 65535 - one.probability).max() < 1e-5
    back = read_probability(written("probability", one, tmp_path))
    assert back.dtype == np.float32 and np.abs(back - one.probability).max() < 1e-5


@pytest.mark.parametrize("kind", ["GIF", "EPS"])
def test_a_file_of_another_format_is_no_png_whatever_its_name(kind: str, tmp_path: Path) -> None:
    """Pillow would have Ghostscript draw an EPS."""
    path = tmp_path / "femur.png"
    Image.fromarray(np.uint8(MASK)).save(path, kind)
    with pytest.raises(OSError, match="cannot identify"):
        read_probability(path)
    (drawing,) = drawings(tmp_path)
    with pytest.raises(OSError, match="cannot identify"):
        drawing.read(None)


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


def test_a_large_mask_is_the_same_in_every_reader() -> None:
    mask = np.zeros((1400, 1000), np.bool_)
    mask[100:1300, 200:800] = True
    mask[::7, ::13] ^= True
    for large in (mask, mask[:50]):  # packed by different libraries
        levels = np.asarray(Image.open(io.BytesIO(encoded_mask(large))))
        assert np.array_equal(levels, large * np.uint8(255))


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "I;16"])
@pytest.mark.parametrize("size", [(9, 7), (1200, 1100)], ids=["small", "large"])
def test_a_picture_is_stored_as_it_is(mode: str, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    shape = (*size, 3) if mode == "RGB" else size
    levels = rng.integers(0, 65536 if mode == "I;16" else 200, shape)
    image = Image.fromarray(levels.astype(np.uint16 if mode == "I;16" else np.uint8))
    if mode == "P":
        image.putpalette(bytes(rng.integers(0, 256, 600, np.uint8)))
    with Image.open(io.BytesIO(encoded_picture(image))) as read:
        assert read.mode == mode and read.info["Software"] == "boneseg"
        assert np.array_equal(np.asarray(read), np.asarray(image))
        assert np.array_equal(np.asarray(read.convert("RGB")), np.asarray(image.convert("RGB")))
