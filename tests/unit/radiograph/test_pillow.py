"""Pillow opens what is safe to open, at full depth."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from boneseg.errors import MaskError, RadiographError
from boneseg.masks.read import read_mask
from boneseg.radiograph.read import read_radiograph
from tests.support import films
from tests.support.pictures import BANDS, GREY, deep, saved


@pytest.mark.parametrize("packing", ["raw", "tiff_lzw"])
def test_white_zero_is_inverted(tmp_path, packing):
    """TIFFs whose 0 is white; Pillow inverts those of 8 bits on both ways, and no deeper ones."""
    deep = films.bone(top=65535)
    options = {"tiffinfo": {262: 0}, "compression": None if packing == "raw" else packing}
    for stored, expected in ((GREY, GREY / 255), (~deep, deep / 65535)):
        path = saved(tmp_path / "a.tif", stored, **options)
        with Image.open(path) as image:
            assert image.tag_v2[262] == 0
        np.testing.assert_allclose(read_radiograph(path).pixels, expected, atol=1e-6)


@pytest.mark.parametrize("top", [4095, 65535])
@pytest.mark.parametrize("mode", BANDS)
def test_deep_colours_keep_their_depth(tmp_path, mode, top):
    """Pillow hands them over with their higher bytes: of 12 bits, 16 greys."""
    bands, expected = deep(mode, top)
    path = films.deep_png(tmp_path / "a.png", bands)
    np.testing.assert_allclose(read_radiograph(path).pixels, expected, atol=1e-6)
    if mode == "LA":  # of a TIFF Pillow does not read them
        return
    for order, zipped in (("<", False), (">", False), ("<", True), (">", True)):
        extra = {"extra": 2} if mode == "RGBA" else {}
        path = films.tiff(tmp_path / "a.tif", bands, order, zipped=zipped, **extra)
        np.testing.assert_allclose(read_radiograph(path).pixels, expected, atol=1e-6)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_transparent_is_black_in_deep_colours(tmp_path, mode):
    bands, expected = deep(mode, 65535)
    bands[:, :20, -1], bands[:, 20:30, -1] = 0, 32768
    expected[:, :20], expected[:, 20:30] = 0, expected[:, 20:30] * (32768 / 65535)
    path = films.deep_png(tmp_path / "a.png", bands)
    np.testing.assert_allclose(read_radiograph(path).pixels, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("bands", "dtype", "tags", "words"),
    [
        (3, np.uint16, {"planes": 2}, "channels in separate planes"),
        (4, np.uint16, {"planes": 2, "extra": 2}, "channels in separate planes"),
        (2, np.uint8, {"planes": 2, "extra": 2, "zipped": True}, "channels in separate planes"),
        (4, np.uint16, {"extra": 1}, "premultiplied alpha"),
        (2, np.uint8, {"extra": 1}, "premultiplied alpha"),
    ],
)
def test_images_that_pillow_misreads_are_refused(tmp_path, bands, dtype, tags, words):
    """It would read bytes of one band as those of another, or the higher bytes alone."""
    film = np.stack([films.bone(top=255).astype(dtype)] * bands, -1)
    path = films.tiff(tmp_path / "a.tif", film, **tags)
    with pytest.raises(RadiographError, match=f"{words}; save it as a greyscale PNG"):
        read_radiograph(path)
    with pytest.raises(MaskError, match=f"{words}; save it as a greyscale PNG"):
        read_mask(path)


def test_colours_of_8_bits_in_planes_or_multiplied_by_their_opacity_are_read(tmp_path):
    grey = films.bone(top=255).astype(np.uint8)
    half = np.full_like(grey, 128)
    for zipped in (False, True):
        path = films.tiff(tmp_path / "a.tif", np.stack([grey] * 3, -1), zipped=zipped, planes=2)
        np.testing.assert_allclose(read_radiograph(path).pixels, grey / 255, atol=1e-6)
        shown = np.rint(grey * (half / 255)).astype(np.uint8)
        bands = np.stack([shown] * 3 + [half], -1)
        path = films.tiff(tmp_path / "a.tif", bands, zipped=zipped, extra=1)
        np.testing.assert_allclose(read_radiograph(path).pixels, shown / 255, atol=0.005)
