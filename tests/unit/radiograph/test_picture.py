"""Every picture of one film gives the same film."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boneseg.errors import RadiographError, UsageError
from boneseg.radiograph import picture
from boneseg.radiograph.greyscale import stretch, to_unit
from boneseg.radiograph.picture import _on_black, _upright, read_picture
from boneseg.radiograph.read import read_radiograph
from tests.support import films
from tests.support.pictures import GREY, saved


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "webp", "jpg"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_format_gives_the_same_film(tmp_path, suffix, mode):
    options = {"quality": 98} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    film = read_radiograph(saved(tmp_path / f"a.{suffix}", GREY, mode, **options))
    np.testing.assert_allclose(film.pixels, GREY / 255, atol=0.02 if suffix == "jpg" else 1e-6)
    assert film.pixels.dtype == np.float32 and film.pixels.flags.c_contiguous
    assert (film.spacing_mm, film.spacing_kind) == (None, "unknown")
    assert film.source == tmp_path / f"a.{suffix}"


def test_the_previews_of_a_camera_are_no_pages(tmp_path):
    preview = Image.fromarray(255 - GREY)
    Image.fromarray(GREY).save(
        tmp_path / "a.jpg", "MPO", save_all=True, append_images=[preview], quality=98
    )
    with Image.open(tmp_path / "a.jpg") as image:
        assert (image.format, image.n_frames) == ("MPO", 2)
    np.testing.assert_allclose(read_radiograph(tmp_path / "a.jpg").pixels, GREY / 255, atol=0.02)


@pytest.mark.parametrize("mode", ["P", "LA", "RGBA", "CMYK"])
def test_every_mode_gives_the_same_film(tmp_path, mode):
    path = saved(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"), GREY, mode)
    np.testing.assert_allclose(read_radiograph(path).pixels, GREY / 255, atol=0.01)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_one_bit(tmp_path, suffix):
    path = saved(tmp_path / f"a.{suffix}", GREY > 99)
    assert (read_radiograph(path).pixels == (GREY > 99)).all()


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
@pytest.mark.parametrize(
    ("top", "bits"), [(200, 8), (900, 10), (4095, 12), (9000, 14), (65535, 16)]
)
@pytest.mark.parametrize("packing", ["png", "raw", "tiff_lzw", "tiff_adobe_deflate"])
def test_sixteen_bits_survive(tmp_path, dtype, top, bits, packing):
    """Every step of the depth is its own grey, as `convert("L")` would not leave it."""
    stored = films.bone(top=top)
    path = tmp_path / ("a.png" if packing == "png" else "a.tif")
    image = Image.fromarray(stored.astype(dtype))
    image.save(path, compression=None if packing in ("png", "raw") else packing)
    pixels = read_radiograph(path).pixels
    np.testing.assert_allclose(pixels, stored / (2**bits - 1), atol=1e-6)
    assert len(np.unique(pixels)) == len(np.unique(stored))


def test_floats_and_long_integers(tmp_path):
    unit = (films.bone() / 4095).astype(np.float32)
    assert (read_radiograph(saved(tmp_path / "a.tif", unit)).pixels == unit).all()
    np.testing.assert_allclose(
        read_radiograph(saved(tmp_path / "b.tif", films.bone().astype(np.int32))).pixels,
        unit,
        atol=1e-6,
    )
    for name, stored in (
        ("c", unit * 900 - 300),
        ("d", (unit * 2e9 - 1e9).astype(np.int32)),
    ):
        pixels = read_radiograph(saved(tmp_path / f"{name}.tif", stored)).pixels
        assert np.corrcoef(pixels.ravel(), unit.ravel())[0, 1] > 0.999
        assert pixels.min() == 0 and pixels.max() == 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiffs_keep_the_sign_of_their_samples(tmp_path, order):
    """Pillow always reads 8 bits as unsigned and 32 as signed: greys wrapped."""
    grey = films.bone(top=255).astype(np.int16)
    eight = films.tiff(tmp_path / "8.tif", (grey - 128).astype(np.int8), order)
    long = films.tiff(tmp_path / "32.tif", grey.astype(np.uint32) * 2**24, "<")
    for path in (eight, long):
        np.testing.assert_allclose(read_radiograph(path).pixels, stretch(grey), atol=1e-5)


def test_non_finite_values_are_black(tmp_path):
    stored = (films.bone() / 4095).astype(np.float32)
    stored[0, :3] = np.nan, np.inf, -np.inf
    pixels = read_radiograph(saved(tmp_path / "a.tif", stored)).pixels
    assert np.isfinite(pixels).all() and pixels[0, 0] == 0
    stored[:] = np.nan
    assert (read_radiograph(saved(tmp_path / "b.tif", stored)).pixels == 0).all()


@pytest.mark.parametrize(
    ("suffix", "deep"),
    [("png", False), ("png", True), ("jpg", False), ("tif", False), ("tif", True), ("webp", False)],
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_upright(tmp_path, suffix, orientation, deep):
    stored = films.bone(top=65535) if deep else GREY
    turns = {  # from upright to stored, the way back of CIPA DC-008
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: np.rot90(a),
        7: lambda a: a[::-1, ::-1].T,
        8: lambda a: np.rot90(a, -1),
    }
    image = Image.fromarray(np.ascontiguousarray(turns[orientation](stored)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"tiffinfo": {0x0112: orientation}} if suffix == "tif" else {"exif": exif}
    path = saved(tmp_path / f"a.{suffix}", image, **options, quality=95)
    pixels = read_radiograph(path).pixels
    assert pixels.shape == stored.shape
    np.testing.assert_allclose(pixels, stored / stored.max(), atol=0.05)


def test_transparent_is_black(tmp_path):
    alpha = np.full_like(GREY, 255)
    alpha[:, :20], alpha[:, 20:30] = 0, 128
    expected = GREY / 255 * (alpha / 255)
    for name, bands in (("la", [GREY, alpha]), ("rgba", [GREY] * 3 + [alpha])):
        path = saved(tmp_path / f"{name}.png", np.stack(bands, -1))
        np.testing.assert_allclose(read_radiograph(path).pixels, expected, atol=0.01)


def test_invert_is_for_films_with_dark_bone(tmp_path):
    path = saved(tmp_path / "a.png", 255 - GREY)
    np.testing.assert_allclose(read_radiograph(path, invert=True).pixels, GREY / 255, atol=1e-6)


def test_pages_must_be_chosen(tmp_path):
    path = tmp_path / "a.tif"
    pages = [Image.fromarray(GREY), Image.fromarray(GREY[::-1].copy())]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with pytest.raises(
        RadiographError, match="holds 2 frames; choose one with segment --frame N, 1 to 2"
    ):
        read_radiograph(path)
    second = read_radiograph(path, frame=2)
    assert (second.pixels == to_unit(GREY[::-1])).all() and second.frame == 2
    pages[0].save(tmp_path / "one.tif")
    assert read_radiograph(tmp_path / "one.tif").frame == 1
    with pytest.raises(RadiographError, match="no frame 3"):
        read_radiograph(path, frame=3)
    with pytest.raises(UsageError, match="counted from 1"):
        read_radiograph(path, frame=0)


def test_a_png_with_a_changed_byte_is_refused(tmp_path):
    path = saved(tmp_path / "a.png", GREY)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(RadiographError, match="damaged"):
        read_radiograph(path)


def empty_png(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return len(data).to_bytes(4) + body + zlib.crc32(body).to_bytes(4)

    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 0, 0, 0, 0])
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


@pytest.mark.parametrize(("width", "height"), [(30_000, 30_000), (11_000, 10_000)])
def test_a_bomb_is_refused_by_its_header(tmp_path, width, height):
    path = tmp_path / "a.png"
    path.write_bytes(empty_png(width, height))
    with pytest.raises(RadiographError, match=r"over the limit of .* million"):
        read_radiograph(path)


def test_a_sliver_is_refused(tmp_path):
    with pytest.raises(RadiographError, match=r"3 x [0-9]+ pixels is too small"):
        read_radiograph(saved(tmp_path / "a.png", GREY[:3]))


@pytest.mark.parametrize(("width", "height"), [(6_000_000, 16), (16, 6_000_000), (16, 3201)])
def test_a_too_elongated_image_is_refused_by_its_header(tmp_path, width, height):
    path = tmp_path / "a.png"
    path.write_bytes(empty_png(width, height))
    with pytest.raises(RadiographError, match="is too elongated for a film"):
        read_radiograph(path)


# -- function by function -------------------------------------------------------------------------

SMALL = np.array([[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    ("orientation", "found"),
    [
        (1, [[1, 2, 3], [4, 5, 6]]),
        (2, [[3, 2, 1], [6, 5, 4]]),
        (3, [[6, 5, 4], [3, 2, 1]]),
        (4, [[4, 5, 6], [1, 2, 3]]),
        (5, [[1, 4], [2, 5], [3, 6]]),
        (6, [[4, 1], [5, 2], [6, 3]]),
        (7, [[6, 3], [5, 2], [4, 1]]),
        (8, [[3, 6], [2, 5], [1, 4]]),
        (0, [[1, 2, 3], [4, 5, 6]]),
        (9, [[1, 2, 3], [4, 5, 6]]),
    ],
)
def test_an_orientation_is_undone(orientation, found):
    assert _upright(SMALL, orientation).tolist() == found


def test_deep_bands_are_laid_on_black_by_their_opacity():
    grey = np.array([[0, 1000, 65535], [7, 4096, 30000]], np.uint16)
    opacity = np.array([[65535, 65535, 65535], [0, 32768, 13107]], np.uint16)
    expected = np.rint(grey * (opacity / 65535))
    name = Path("a.png")
    for bands, scale in (((grey, opacity), 65535), ((grey, grey, grey, opacity), 65535)):
        found = _on_black(np.stack(bands, -1), name).pixels()
        np.testing.assert_allclose(found, expected / scale, atol=1e-5)
    for bands in ((grey,), (grey, grey, grey)):
        found = _on_black(np.stack(bands, -1), name).pixels()
        np.testing.assert_allclose(found, grey / 65535, atol=1e-5)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("Doe"), "is damaged or truncated; copy it again, or export it as PNG"),
        (
            Image.DecompressionBombError("large"),
            "is over the limit of 100 million pixels; downsample it",
        ),
        (
            Image.UnidentifiedImageError("Doe"),
            "is not a readable image; give PNG, JPEG, TIFF, BMP, WebP or DICOM",
        ),
    ],
)
def test_a_picture_that_cannot_be_read_is_refused_in_words(tmp_path, monkeypatch, error, words):
    def fails(*_):
        raise error

    path = saved(tmp_path / "knee.png", GREY)
    monkeypatch.setattr(picture, "open_image", fails)
    with pytest.raises(RadiographError) as refusal:
        read_picture(path, None)
    assert str(refusal.value) == f"{path}: {words}"


def test_a_tiff_of_a_kind_that_is_not_read_is_refused_as_one(tmp_path):
    (tmp_path / "a.png").write_bytes(b"II*\0" + bytes(60))
    with pytest.raises(RadiographError) as refusal:
        read_picture(tmp_path / "a.png", None)
    words = "is an unsupported or truncated TIFF; save it as an 8- or 16-bit PNG"
    assert str(refusal.value) == f"{tmp_path / 'a.png'}: {words}"


def test_a_lack_of_memory_is_no_damage(tmp_path, monkeypatch):
    def fails(*_):
        raise MemoryError

    path = saved(tmp_path / "a.png", GREY)
    monkeypatch.setattr(picture, "check_rows", fails)
    with pytest.raises(MemoryError):
        read_picture(path, None)


def test_the_size_of_a_picture_is_checked_before_it_is_decoded(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.png", np.zeros((15, 200), np.uint8))
    monkeypatch.setattr(picture, "check_scans", lambda *_: pytest.fail("decoded"))
    with pytest.raises(RadiographError, match=r"a\.png: 15 x 200 pixels is too small"):
        read_picture(path, None)


def test_a_turned_picture_has_its_rows_in_order_in_memory(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = read_picture(saved(tmp_path / "a.png", Image.fromarray(GREY), exif=exif), None).stored
    assert stored.flags.c_contiguous and stored.shape == GREY.shape[::-1]
    np.testing.assert_array_equal(stored, np.rot90(GREY, -1))


def test_a_picture_keeps_the_integers_of_its_file(tmp_path):
    """So that a film of 12 megapixels takes as many megabytes."""
    deep = films.bone(top=4095)
    for stored in (GREY, deep):
        grey = read_picture(saved(tmp_path / "a.png", stored), None)
        assert grey.stored.dtype == stored.dtype and grey.table is not None
        np.testing.assert_array_equal(grey.stored, stored)


def test_a_grey_with_a_transparent_level_is_black_there(tmp_path):
    stored = GREY.copy()
    stored[:5] = 200
    path = saved(tmp_path / "a.png", Image.fromarray(stored), transparency=200)
    expected = np.where(stored == 200, 0, stored / 255)
    np.testing.assert_allclose(read_radiograph(path).pixels, expected, atol=0.01)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "deep"])
def test_a_photograph_is_refused_by_its_name_in_every_mode(tmp_path, mode):
    fields = np.zeros((48, 64, 3), np.uint8)
    fields[:, :20, 0] = fields[:, 20:40, 1] = fields[:, 40:, 2] = 220
    path = tmp_path / "a.png"
    if mode == "deep":
        films.deep_png(path, fields.astype(np.uint16) * 257)
    else:
        saved(path, fields, mode)
    with pytest.raises(RadiographError) as refusal:
        read_picture(path, None)
    words = "is a colour photograph, not a radiograph; give the original greyscale film"
    assert str(refusal.value) == f"{path}: {words}"
