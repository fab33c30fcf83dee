"""Pillow opens what is safe to open, at full depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from boneseg.errors import MaskError, RadiographError
from boneseg.masks.read import read_mask
from boneseg.radiograph import pillow
from boneseg.radiograph.film import MAX_SCANS
from boneseg.radiograph.pillow import (
    _lower,
    _refuse_misread,
    check_scans,
    deep_colours,
    grey_values,
    is_white_zero,
    open_image,
)
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


# -- function by function -------------------------------------------------------------------------


def of_format(name: str, path: Path) -> Image.Image:
    image = Image.new("L", (20, 20))
    image.format = name
    return image


@pytest.mark.parametrize("block", [1, 2, 3, 5, 2**20])
@pytest.mark.parametrize("name", ["JPEG", "MPO", "TIFF"])
def test_the_scans_of_a_jpeg_are_counted_across_blocks(tmp_path, monkeypatch, block, name):
    path = tmp_path / "a.jpg"
    monkeypatch.setattr(pillow, "_BLOCK", block)
    monkeypatch.setattr(pillow, "MAX_SCANS", 4)
    scan = b"\xff\xda\0\xff\0\xda"
    for count in (0, 4, 5):
        path.write_bytes(b"\xff\xd8" + scan * count + b"\xff\xd9")
        if count < 5 or name == "TIFF":
            check_scans(of_format(name, path), path)
        else:
            with pytest.raises(RadiographError) as refusal:
                check_scans(of_format(name, path), path)
            words = "is a JPEG of 5 scans, more than any picture needs; save it as PNG"
            assert str(refusal.value) == f"{path}: {words}"


def test_a_jpeg_of_as_many_scans_as_are_allowed_is_read(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\xff\xda" * MAX_SCANS)
    check_scans(of_format("JPEG", path), path)
    path.write_bytes(b"\xff\xda" * (MAX_SCANS + 1))
    with pytest.raises(RadiographError, match=f"JPEG of {MAX_SCANS + 1} scans"):
        check_scans(of_format("JPEG", path), path)


def test_only_the_formats_that_are_asked_for_are_opened(tmp_path):
    files = {name: saved(tmp_path / f"a.{name.lower()}", GREY) for name in ("PNG", "TIFF", "BMP")}
    for name, path in files.items():
        with path.open("rb") as file, open_image(file, (name, "WEBP")) as image:
            assert (image.format, image.size) == (name, GREY.shape[::-1])
        others = tuple({*files, "JPEG"} - {name})
        with path.open("rb") as file, pytest.raises(Image.UnidentifiedImageError):
            open_image(file, others)


@pytest.mark.parametrize(
    ("args", "lower"),
    [
        ("RGB;16B", "RGB;16L"),
        ("RGB;16L", "RGB;16B"),
        ("RGB;16N", f"RGB;16{'B' if pillow._NATIVE == 'L' else 'L'}"),
        ("RGBA;16B", "RGBA;16L"),
        ("RGBX;16L", "RGBX;16B"),
        ("LA;16B", "RGBA"),
        (("RGB;16L", 0, 1), ("RGB;16B", 0, 1)),
        (("LA;16B", 0), ("RGBA", 0)),
        *((args, None) for args in ("RGB", "L", "I;16", "RGB;16", "RGB;16X", "CMYK;16L", "LA;16L")),
        *((args, None) for args in (None, (), ("",), (8, 0), "")),
    ],
)
def test_the_low_bytes_of_a_sample_are_read_in_the_other_order(args, lower):
    tile = ImageFile._Tile("raw", (0, 0, 20, 20), 99, args)
    found = _lower(tile)
    assert found == (None if lower is None else ("raw", (0, 0, 20, 20), 99, lower))


def tagged(path: Path, **tags: int) -> Image.Image:
    """A TIFF of 16-bit colours, open."""
    bands = np.zeros((20, 20, 4 if "extra" in tags else 3), np.uint16)
    return Image.open(films.tiff(path, bands, **tags))


@pytest.mark.parametrize(
    ("tags", "problem"),
    [
        ({"planes": 2}, "with its channels in separate planes"),
        ({"extra": 1}, "with premultiplied alpha"),
        ({"extra": 1, "planes": 2}, "with its channels in separate planes"),
    ],
)
def test_a_tiff_that_would_be_misread_is_refused_in_words(tmp_path, tags, problem):
    with tagged(tmp_path / "a.tif", **tags) as image, pytest.raises(RadiographError) as refusal:
        _refuse_misread(image, Path("shown.tif"))
    assert str(refusal.value) == f"shown.tif: is a TIFF {problem}; save it as a greyscale PNG"


@pytest.mark.parametrize("tags", [{}, {"extra": 2}, {"extra": 0}, {"planes": 1}])
def test_a_tiff_that_is_read_well_is_not_refused(tmp_path, tags):
    with tagged(tmp_path / "a.tif", **tags) as image:
        _refuse_misread(image, Path("shown.tif"))
    _refuse_misread(Image.new("L", (20, 20)), Path("shown.png"))


def test_zero_is_white_only_in_tiffs_that_pillow_does_not_invert(tmp_path):
    deep = films.bone(top=65535)
    for stored, white, expected in (
        *((deep, 0, True), (deep, 1, False)),
        *((GREY, 0, False), (GREY > 99, 0, False)),
    ):
        path = saved(tmp_path / "a.tif", stored, tiffinfo={262: white})
        with path.open("rb") as file, open_image(file, ("TIFF",)) as image:
            assert is_white_zero(image) == expected
    assert not is_white_zero(Image.new("I;16", (20, 20)))


@pytest.mark.parametrize(
    ("kind", "found"),
    [(np.uint8, np.uint8), (np.int8, np.int8), (np.uint32, np.uint32), (np.int32, np.int32)],
)
def test_samples_have_the_sign_that_their_tiff_says(tmp_path, kind, found):
    stored = np.arange(-200, 200).reshape(20, 20).astype(kind)
    path = films.tiff(tmp_path / "a.tif", stored)
    with path.open("rb") as file, open_image(file, ("TIFF",)) as image:
        image.load()
        values = grey_values(image)
    assert values.dtype == found
    np.testing.assert_array_equal(values, stored)
    np.testing.assert_array_equal(grey_values(Image.fromarray(GREY)), GREY)
    assert grey_values(Image.fromarray(stored.astype(np.int32))).dtype == np.int32


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("zipped", [False, True])
def test_both_bytes_of_a_colour_are_read(tmp_path, order, zipped):
    bands = np.random.default_rng(0).integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    path = films.tiff(tmp_path / "a.tif", bands, order, zipped=zipped)
    with path.open("rb") as file, open_image(file, ("TIFF",)) as image:
        found = deep_colours(image, path, 0)
    assert found is not None and found.dtype == np.uint16
    np.testing.assert_array_equal(found, bands)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_both_bytes_of_grey_and_opacity_are_read(tmp_path, count):
    bands = np.random.default_rng(0).integers(0, 65536, (20, 30, count)).astype(np.uint16)
    path = films.deep_png(tmp_path / "a.png", bands)
    with path.open("rb") as file, open_image(file, ("PNG",)) as image:
        found = deep_colours(image, path, 0)
    assert found is not None and found.dtype == np.uint16
    np.testing.assert_array_equal(found, bands)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16"])
def test_samples_that_pillow_hands_over_whole_are_left_to_it(tmp_path, mode):
    image = Image.fromarray(films.bone()) if mode == "I;16" else Image.fromarray(GREY).convert(mode)
    path = saved(tmp_path / "a.png", image)
    with path.open("rb") as file, open_image(file, ("PNG",)) as opened:
        assert deep_colours(opened, path, 0) is None


def test_colours_of_one_page_of_several_are_read(tmp_path, monkeypatch):
    """The page is the one that the image is at."""
    bands = np.random.default_rng(0).integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    path = films.tiff(tmp_path / "a.tif", bands)
    sought: list[int] = []
    open_whole = pillow.open_image

    def opened(file, formats):
        image = open_whole(file, formats)
        seek = image.seek
        monkeypatch.setattr(image, "seek", lambda page: sought.append(page) or seek(0))
        return image

    with path.open("rb") as file, open_image(file, ("TIFF",)) as image:
        monkeypatch.setattr(pillow, "open_image", opened)
        assert deep_colours(image, path, 1) is not None
    assert sought == [1]


def test_later_frames_of_a_png_and_transparent_colours_are_left_to_pillow(tmp_path):
    bands = np.zeros((20, 30, 3), np.uint16)
    path = films.deep_png(tmp_path / "a.png", bands)
    for index, info, left in (
        (0, {}, False),
        (1, {}, True),
        (0, {"transparency": (0, 0, 0)}, True),
    ):
        with path.open("rb") as file, open_image(file, ("PNG",)) as image:
            image.info |= info
            assert (deep_colours(image, path, index) is None) == left
