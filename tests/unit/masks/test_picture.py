"""Masks as pictures: every format, mode and depth that Pillow opens."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from boneseg.errors import MaskError
from boneseg.masks.filenames import IMAGE_SUFFIXES
from boneseg.masks.picture import FORMATS
from boneseg.masks.read import read_mask
from tests.support.readings import MASK
from tests.support.regions import SHAPE, mask_of

# --- pictures ---


def brushed(path: Path, alpha: Any, colour: tuple[int, ...]) -> Path:
    """A PNG of one colour, with this opacity."""
    bands = [np.full(alpha.shape, band, np.uint8) for band in colour]
    Image.fromarray(np.stack([*bands, alpha.astype(np.uint8)], -1)).save(path)
    return path


@pytest.mark.parametrize(
    "colour", [(255,), (255, 255, 255), (255, 0, 0)], ids=["LA", "RGBA", "red"]
)
def test_a_soft_brush_is_read_by_its_opacity(colour: tuple[int, ...], tmp_path: Path) -> None:
    alpha = np.zeros((200, 200))
    alpha[50:150, 50:150] = 255
    alpha[50, 50:150], alpha[149, 50:150], alpha[49, 50:150] = 200, 140, 60
    found = read_mask(brushed(tmp_path / "mask.png", alpha, colour))
    np.testing.assert_array_equal(found, alpha >= 128)


def test_a_brush_that_is_soft_everywhere_is_refused(tmp_path: Path) -> None:
    alpha = np.tile(np.arange(0, 250, 2), (100, 1))
    with pytest.raises(MaskError, match="holds 125 values"):
        read_mask(brushed(tmp_path / "mask.png", alpha, (255, 255, 255)))


def test_a_brush_of_one_opacity_is_bone_wherever_it_is_seen(tmp_path: Path) -> None:
    alpha = np.where(MASK, 90, 0)
    found = read_mask(brushed(tmp_path / "mask.png", alpha, (255, 0, 0)))
    np.testing.assert_array_equal(found, MASK)


KINDS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".jpg .jpeg .jpe .jfif": {"format": "JPEG", "quality": 100},
    ".tif .tiff": {"format": "TIFF"},
    ".bmp": {"format": "BMP"},
    ".gif": {"format": "GIF"},
    ".webp": {"format": "WEBP", "lossless": True},
    ".jp2 .jpx": {"format": "JPEG2000"},
    ".j2k": {"format": "JPEG2000", "no_jp2": True},
    ".pgm .pnm .ppm": {"format": "PPM"},
}


PICTURES = {suffix: how for suffixes, how in KINDS.items() for suffix in suffixes.split()}


MODES = {"PNG": "1LP", "TIFF": "1LP", "BMP": "1LP", "GIF": "1LP", "PPM": "1L"}


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_a_mask_is_read_from_every_kind_of_picture(suffix: str, tmp_path: Path) -> None:
    how = PICTURES[suffix]
    for mode in MODES.get(how["format"], "L"):
        file = io.BytesIO()
        Image.fromarray(MASK.astype(np.uint8) * 255).convert(mode).save(file, **how)
        root = tmp_path / mode
        assert np.array_equal(mask_of(root, f"knee{suffix.upper()}", file.getvalue()), MASK)


def test_every_format_that_pillow_may_open_has_a_suffix() -> None:
    assert {how["format"] for how in PICTURES.values()} == set(FORMATS)


@pytest.mark.parametrize("mode", ["1", "L"])
def test_a_grey_png_may_have_a_transparent_level(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(MASK.astype(np.uint8) * 255).convert(mode)
    image.save(tmp_path / "ground.png", transparency=0)
    assert np.array_equal(read_mask(tmp_path / "ground.png"), MASK)
    image.save(tmp_path / "bone.png", transparency=1 if mode == "1" else 255)
    with pytest.raises(MaskError, match="is black on transparent"):
        read_mask(tmp_path / "bone.png")


def test_a_gif_may_be_interlaced_transparent_or_in_colour_but_not_animated(tmp_path: Path) -> None:
    grey = Image.fromarray(MASK.astype(np.uint8))
    grey.putpalette([0, 0, 0, 255, 0, 0])
    for name, more in (("a", {"interlace": 1}), ("b", {"transparency": 0})):
        grey.save(tmp_path / f"{name}.gif", **more)
        assert np.array_equal(read_mask(tmp_path / f"{name}.gif", SHAPE), MASK)
    other = Image.fromarray((~MASK).astype(np.uint8))
    other.putpalette([0, 0, 0, 255, 0, 0])
    grey.save(tmp_path / "c.gif", save_all=True, append_images=[other])
    with pytest.raises(MaskError, match="holds several images"):
        read_mask(tmp_path / "c.gif")
