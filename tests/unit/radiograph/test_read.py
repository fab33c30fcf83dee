"""What any picture on disk promises to become."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from boneseg.errors import MaskError, RadiographError, UsageError
from boneseg.masks.read import read_mask
from boneseg.radiograph.discovery import find_radiographs
from boneseg.radiograph.greyscale import colourfulness, grey_of, stretch, to_unit
from boneseg.radiograph.read import read_radiograph
from tests.support import films

GREY = films.bone(top=255).astype(np.uint8)


def saved(path: Path, pixels, mode=None, **options) -> Path:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "webp", "jpg"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_format_gives_the_same_film(tmp_path, suffix, mode):
    options = {"quality": 98} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    film = read_radiograph(saved(tmp_path / f"a.{suffix}", GREY, mode, **options))
    np.testing.assert_allclose(film.pixels, GREY / 255, atol=0.02 if suffix == "jpg" else 1e-6)
    assert film.pixels.dtype == np.float32 and film.pixels.flags.c_contiguous
    assert (film.spacing_mm, film.spacing_kind) == (None, "unknown")
    assert film.source == tmp_path / f"a.{suffix}"


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


@pytest.mark.parametrize("packing", ["raw", "tiff_lzw"])
def test_white_zero_is_turned(tmp_path, packing):
    """TIFFs whose 0 is white; Pillow inverts those of 8 bits on both ways, and no deeper ones."""
    deep = films.bone(top=65535)
    options = {"tiffinfo": {262: 0}, "compression": None if packing == "raw" else packing}
    for stored, expected in ((GREY, GREY / 255), (~deep, deep / 65535)):
        path = saved(tmp_path / "a.tif", stored, **options)
        with Image.open(path) as image:
            assert image.tag_v2[262] == 0
        np.testing.assert_allclose(read_radiograph(path).pixels, expected, atol=1e-6)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_white_zero_is_turned_in_either_byte_order(tmp_path, order, zipped):
    path = films.tiff(tmp_path / "a.tif", films.bone(), order, zipped=zipped, photometric=0)
    np.testing.assert_allclose(read_radiograph(path).pixels, 1 - films.bone() / 4095, atol=1e-6)


def test_a_tiff_that_is_not_read_is_not_asked_for_again(tmp_path):
    path = films.tiff(tmp_path / "a.tif", films.bone().astype(np.float64))
    with pytest.raises(RadiographError, match="is an unsupported or truncated TIFF"):
        read_radiograph(path)


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
    """Pillow reads 8 bits as unsigned and 32 as signed, whatever the file says: greys wrapped."""
    grey = films.bone(top=255).astype(np.int16)
    eight = films.tiff(tmp_path / "8.tif", (grey - 128).astype(np.int8), order)
    long = films.tiff(tmp_path / "32.tif", grey.astype(np.uint32) * 2**24, "<")
    for path in (eight, long):
        np.testing.assert_allclose(read_radiograph(path).pixels, stretch(grey), atol=1e-5)


def test_what_is_no_number_is_black(tmp_path):
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


def test_pages_are_asked_for(tmp_path):
    path = tmp_path / "a.tif"
    pages = [Image.fromarray(GREY), Image.fromarray(GREY[::-1].copy())]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with pytest.raises(
        RadiographError, match="holds 2 frames; choose one with segment --frame N, 1 to 2"
    ):
        read_radiograph(path)
    assert (read_radiograph(path, frame=2).pixels == to_unit(GREY[::-1])).all()
    with pytest.raises(RadiographError, match="no frame 3"):
        read_radiograph(path, frame=3)
    with pytest.raises(UsageError, match="counted from 1"):
        read_radiograph(path, frame=0)


def photograph() -> np.ndarray:
    """Fields of colour under uneven light, as sky, grass, skin and a red coat would be."""
    light = np.linspace(0.4, 1, 96)[:, None, None]
    colours = np.array([[90, 140, 230], [60, 150, 50], [220, 170, 140], [200, 30, 40]])
    return (np.repeat(colours, 24, axis=0)[None] * light).astype(np.uint8)


def test_a_colour_photograph_is_refused(tmp_path):
    for suffix in ("png", "jpg"):
        with pytest.raises(RadiographError, match="is a colour photograph, not a radiograph"):
            read_radiograph(saved(tmp_path / f"a.{suffix}", photograph()))


@pytest.mark.parametrize("toning", [(1, 1, 1), (0.75, 0.85, 1), (1, 0.85, 0.65)])
def test_toned_and_lettered_films_are_no_photographs(tmp_path, toning):
    film = np.rint(films.bone(128, 128, 255)[..., None] * toning).astype(np.uint8)
    film[4:20, 4:24] = 255, 30, 30  # 2 % of the film
    read_radiograph(saved(tmp_path / "a.png", film))
    read_radiograph(saved(tmp_path / "a.jpg", film, quality=60))


def test_colourfulness_is_measured():
    assert colourfulness(np.stack([GREY] * 3, -1), 255) == 0
    assert colourfulness(photograph(), 255) > 0.3


@given(arrays(np.uint8, (16, 16)))
def test_equal_bands_are_that_grey(grey):
    rgb = np.stack([grey] * 3, -1)
    np.testing.assert_allclose(grey_of(rgb, Path("a")), to_unit(grey), atol=1e-6)


@given(
    st.sampled_from([np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64]).flatmap(
        lambda dtype: arrays(dtype, (4, 5))
    )
)
def test_all_values_come_to_between_0_and_1(values):
    with np.errstate(all="ignore"):
        unit = to_unit(values)
    assert unit.dtype == np.float32 and unit.shape == values.shape
    assert (unit >= 0).all() and (unit <= 1).all()


@given(arrays(np.uint16, (6, 6)))
def test_brighter_stays_brighter(values):
    for unit in (to_unit(values), stretch(values)):
        order = np.argsort(values.ravel(), kind="stable")
        assert (np.diff(unit.ravel()[order]) >= 0).all()


def test_a_flat_film_is_black_when_stretched():
    assert (stretch(np.full((20, 20), 7.0)) == 0).all()


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "webp"])
def test_a_file_cut_short_is_refused(tmp_path, suffix):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8)
    path = saved(tmp_path / f"a.{suffix}", noise)
    whole = path.read_bytes()
    for part in (0.02, 0.3, 0.6, 0.95):
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(RadiographError) as refusal:
            read_radiograph(path)
        assert str(refusal.value).startswith(f"{path}: ") and "\n" not in str(refusal.value)


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


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.png", b"", "is empty"),
        ("a.png", b"no picture at all\n", "not a readable image"),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a readable image"),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n", "not a readable image"),
        ("a.dcm", b"", "is empty"),
        ("a.dcm", b"no DICOM at all\n", "not a DICOM"),
        ("a.dcm", bytes(128) + b"DICM", "not a DICOM"),
        ("a", bytes(128) + b"DICM" + bytes(range(256)), "not a DICOM"),
    ],
)
def test_what_is_no_film_is_refused_in_one_line(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(RadiographError, match=words) as refusal:
        read_radiograph(path)
    assert str(refusal.value).startswith(f"{path}: ") and "\n" not in str(refusal.value)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp"])
def test_a_picture_that_is_called_dicom_is_a_picture(tmp_path, suffix):
    path = saved(tmp_path / f"a{suffix}", GREY)
    expected = read_radiograph(path).pixels
    renamed = path.rename(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_radiograph(renamed).pixels, expected)
    renamed.write_bytes(renamed.read_bytes()[:60])
    with pytest.raises(RadiographError, match="PNG"):  # no word of DICOM
        read_radiograph(renamed)


def test_folders_and_missing_files_are_refused(tmp_path):
    with pytest.raises(RadiographError, match="is a folder"):
        read_radiograph(tmp_path)
    with pytest.raises(RadiographError, match="no such file"):
        read_radiograph(tmp_path / "none.png")


@given(st.binary(max_size=300))
def test_no_bytes_whatever_give_a_traceback(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("bytes")
    for name in ("a.png", "a.dcm"):
        (folder / name).write_bytes(content)
        with pytest.raises(RadiographError):
            read_radiograph(folder / name)


def test_folders_are_searched(tmp_path):
    for name in ("b.PNG", "a.jpg", "deep/er/c.tif", "notes.txt", ".hidden.png", ".git/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for name in ("1.2.840.10008", "IM0001", "DICOMDIR"):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    names = ["1.2.840.10008", "IM0001", "a.jpg", "b.PNG", "deep/er/c.tif"]
    assert find_radiographs([tmp_path]) == [tmp_path / name for name in names]


def test_files_are_taken_as_given_and_once(tmp_path):
    for name in ("b.xyz", "a.png"):
        (tmp_path / name).write_bytes(b"x")
    given_ = [tmp_path / "b.xyz", tmp_path / "a.png", tmp_path]
    assert find_radiographs(given_) == [tmp_path / "b.xyz", tmp_path / "a.png"]


@pytest.mark.parametrize("out", ["ins/out", "ins/../ins/out", "link"])
def test_the_folder_for_results_is_not_searched_for_films(tmp_path, out):
    for name in ("ins/a.png", "ins/out/a_mask.png", "ins/out/deep/a.png", "ins/outer/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "ins" / "out")
    found = find_radiographs([tmp_path / "ins"], tmp_path / out)
    assert found == [tmp_path / "ins" / "a.png", tmp_path / "ins" / "outer" / "b.png"]


def test_masks_beside_their_films_are_no_films(tmp_path):
    names = ("d/images/a.png", "d/masks/a.png", "x/labels/a.png", "y/masks/b.png")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert find_radiographs([tmp_path]) == [tmp_path / names[i] for i in (0, 2, 3)]
    assert find_radiographs([tmp_path / "d" / "masks"]) == [tmp_path / "d" / "masks" / "a.png"]


def test_a_film_named_by_several_paths_is_taken_once(tmp_path, monkeypatch):
    (tmp_path / "ins").mkdir()
    film = tmp_path / "ins" / "a.png"
    film.write_bytes(b"x")
    (tmp_path / "link.png").symlink_to(film)
    monkeypatch.chdir(tmp_path)
    named = [Path("ins/a.png"), film, Path("ins/../ins/a.png"), tmp_path, Path("link.png")]
    assert find_radiographs(named) == [Path("ins/a.png")]
    assert find_radiographs(named[::-1]) == [Path("link.png")]


def test_links_are_followed_and_circles_end(tmp_path):
    for name in ("ins/a.png", "ins/deep/b.png", "elsewhere/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for link, target in (
        ("ins/deep/up", "ins"),
        ("ins/over", "elsewhere"),
        ("ins/again", "elsewhere"),
        ("elsewhere/back", "ins/deep"),
    ):
        (tmp_path / link).symlink_to(tmp_path / target)
    found = find_radiographs([tmp_path / "ins"])
    assert [path.name for path in found] == ["a.png", "c.png", "b.png"]
    assert [path.resolve() for path in found] == [
        tmp_path / name for name in ("ins/a.png", "elsewhere/c.png", "ins/deep/b.png")
    ]


def test_a_film_that_a_link_seeks_in_vain_is_told(tmp_path):
    saved(tmp_path / "a.png", GREY)
    for name in ("b.png", "notes"):
        (tmp_path / name).symlink_to(tmp_path / "away" / name)
    found = find_radiographs([tmp_path])
    assert [path.name for path in found] == ["a.png", "b.png"]
    with pytest.raises(RadiographError, match="no such file"):
        read_radiograph(found[1])


def test_a_folder_that_cannot_be_searched_is_told_and_stops_no_other(tmp_path, monkeypatch):
    for name in ("a.png", "shut/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        saved(tmp_path / name, GREY)
    scandir, shut = os.scandir, tmp_path / "shut"

    def refuse(path):  # as to a user without the right, which root is not
        if Path(path) == shut:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert find_radiographs([tmp_path]) == [tmp_path / "a.png", shut]
    for read in (read_radiograph, lambda folder: find_radiographs([folder])):
        with pytest.raises(RadiographError, match=r"shut: cannot be searched \(Perm"):
            read(shut)


def test_nothing_found_is_said(tmp_path):
    with pytest.raises(UsageError, match="no such file or folder"):
        find_radiographs([tmp_path / "none"])
    with pytest.raises(RadiographError, match="holds no radiographs"):
        find_radiographs([tmp_path])


def test_a_folder_without_films_is_told_and_stops_no_other(tmp_path):
    (tmp_path / "empty").mkdir()
    film = saved(tmp_path / "a.png", GREY)
    found = find_radiographs([tmp_path / "empty", film])
    assert found == [tmp_path / "empty", film]
    with pytest.raises(RadiographError, match="holds no radiographs"):
        read_radiograph(found[0])


def test_import_is_light():
    """pydicom costs a fifth of a second: whoever has PNGs does not pay for it."""
    program = (
        "import sys, boneseg.radiograph.read; print({'pydicom', 'scipy', 'gdcm'} & {*sys.modules})"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert told.stdout == "set()\n"


BANDS = {"LA": (0, 3), "RGB": (0, 0, 0), "RGBA": (0, 0, 0, 3)}


def deep(mode, top):
    """A film of 0 to `top` as bands of 16 bits, and what it comes to."""
    grey = films.bone(top=top)
    bands = np.stack([grey if band == 0 else np.full_like(grey, 65535) for band in BANDS[mode]], -1)
    return bands, grey / top


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
def test_what_pillow_mistakes_is_refused(tmp_path, bands, dtype, tags, words):
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


@pytest.mark.parametrize(("width", "height"), [(6_000_000, 16), (16, 6_000_000), (16, 3201)])
def test_a_strip_that_is_no_film_is_refused_by_its_header(tmp_path, width, height):
    path = tmp_path / "a.png"
    path.write_bytes(empty_png(width, height))
    with pytest.raises(RadiographError, match="is too elongated for a film"):
        read_radiograph(path)


def test_values_are_stretched_in_little_memory():
    """A film of 100 million pixels takes its own memory and that of the result, not thrice that."""
    tracemalloc.start()
    values = np.tile(np.arange(4096, dtype=np.uint16), (1000, 1))
    tracemalloc.reset_peak()
    unit = stretch(values)
    used = tracemalloc.get_traced_memory()[1] - values.nbytes
    tracemalloc.stop()
    assert used < 2 * unit.nbytes + 32e6  # the sample for the percentiles, and a million values
    assert unit.min() == 0 and unit.max() == 1
