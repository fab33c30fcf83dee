"""An ambiguous mask is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image

from boneseg.errors import MaskError, OutputError
from boneseg.masks.formats.png import write_mask
from boneseg.masks.picture import UnclearMaskError
from boneseg.masks.read import read_mask
from tests.support import films

BONE = np.zeros((40, 30), bool)
BONE[5:33, 7:21] = True
Array = NDArray[Any]


def saved(folder: Path, values: Array | Image.Image, name: str = "mask.png", **how: Any) -> Path:
    path = folder / name
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    image.save(path, **how)
    return path


def grey(*levels: int, dtype: type = np.uint8) -> Array:
    """BONE as the last level on the first, with the others as pixels at its edge."""
    values = np.where(BONE, levels[-1], levels[0]).astype(dtype)
    values[5, 7 : 7 + len(levels) - 2] = levels[1:-1]
    return values


def coloured(bone: tuple[int, ...], background: tuple[int, ...]) -> Array:
    return np.where(BONE[..., None], bone, background).astype(np.uint8)


@settings(max_examples=30)
@given(mask=arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_what_is_written_is_read_again(
    mask: NDArray[np.bool_], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("masks") / "mask.png"
    write_mask(path, mask)
    back = read_mask(path, shape=(mask.shape[0], mask.shape[1]))
    assert back.dtype == np.bool_
    np.testing.assert_array_equal(back, mask)


def test_a_written_mask_is_8_bit_grey_0_and_255_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_mask(tmp_path / "a.png", BONE)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "L"
        assert set(np.unique(np.asarray(image)).tolist()) == {0, 255}
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@settings(max_examples=25)
@given(x=st.integers(1, 65535))
def test_any_one_value_beside_0_is_bone(x: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("masks")
    values = grey(0, x, dtype=np.uint8 if x < 256 else np.uint16)
    np.testing.assert_array_equal(read_mask(saved(folder, values)), BONE)


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(Image.fromarray(BONE), id="1-bit"),
        pytest.param(Image.fromarray(coloured((255, 0, 0), (0, 0, 0))), id="red on black"),
        pytest.param(Image.fromarray(coloured((17, 98, 201), (0, 0, 0))), id="any colour on black"),
        pytest.param(Image.fromarray(coloured((200, 30, 30), (255, 255, 255))), id="red on white"),
        pytest.param(Image.fromarray(coloured((255,) * 3, (0,) * 3)), id="white on black, RGB"),
        pytest.param(
            Image.fromarray(coloured((0, 128, 0, 130), (0, 0, 0, 0))), id="veil on transparent"
        ),
        pytest.param(
            Image.fromarray(coloured((9, 9, 9, 255), (255, 255, 255, 0))), id="transparent is black"
        ),
    ],
)
def test_a_kind_of_mask_that_is_clear_is_read(image: Image.Image, tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_mask(saved(tmp_path, image)), BONE)


@pytest.mark.parametrize("bone", [1, 255, 4095, 65535])
@pytest.mark.parametrize("bands", [(0, 0, 0), (0, 3), (0, 0, 0, 3)], ids=["RGB", "LA", "RGBA"])
def test_low_values_of_deep_colours_are_bone(
    bone: int, bands: tuple[int, ...], tmp_path: Path
) -> None:
    """Pillow hands such colours over with their higher bytes: the mask would be empty."""
    values = np.where(BONE, bone, 0).astype(np.uint16)
    stacked = np.stack([values if band == 0 else np.full_like(values, 65535) for band in bands], -1)
    path = films.deep_png(tmp_path / "mask.png", stacked)
    np.testing.assert_array_equal(read_mask(path), BONE)


def test_a_float_tiff_of_0_and_1_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path, BONE.astype(np.float32), "mask.tif")
    np.testing.assert_array_equal(read_mask(path), BONE)


@pytest.mark.parametrize("dtype", ["u1", "<u2"])
def test_a_tiff_whose_0_is_white_is_read_as_it_is_seen(dtype: str, tmp_path: Path) -> None:
    for bone in (BONE, np.ones_like(BONE)):
        seen = bone * np.iinfo(dtype).max
        stored = (seen if dtype == "u1" else ~seen.astype(dtype)).astype(dtype)
        path = saved(tmp_path, stored, "mask.tif", tiffinfo={262: 0})  # Pillow turns 8 bits
        np.testing.assert_array_equal(read_mask(path), bone)


@pytest.mark.parametrize("colours", [(0, 0, 0, 128, 0, 0), (0, 0, 0, 1, 1, 1)])
def test_a_colour_table_is_interpreted_by_its_colours(
    colours: tuple[int, ...], tmp_path: Path
) -> None:
    image = Image.fromarray(BONE.astype(np.uint8), "P")
    image.putpalette(colours)
    np.testing.assert_array_equal(read_mask(saved(tmp_path, image)), BONE)


def test_a_colour_table_may_place_black_last(tmp_path: Path) -> None:
    image = Image.fromarray((~BONE).astype(np.uint8), "P")
    image.putpalette((255, 255, 255, 0, 0, 0))
    np.testing.assert_array_equal(read_mask(saved(tmp_path, image)), BONE)


def test_a_colour_table_with_two_equal_colours_is_refused(tmp_path: Path) -> None:
    image = Image.fromarray(BONE.astype(np.uint8), "P")
    image.putpalette((0, 0, 0, 0, 0, 0))
    with pytest.raises(UnclearMaskError, match="colour table"):
        read_mask(saved(tmp_path, image))


def test_several_pure_colours_on_black_are_several_bones(tmp_path: Path) -> None:
    values = coloured((255, 0, 0), (0, 0, 0))
    values[20:33, 7:21] = (0, 128, 128)
    np.testing.assert_array_equal(read_mask(saved(tmp_path, values)), BONE)


@pytest.mark.parametrize(
    "colours",
    [[(10, 200, 30), (44, 55, 66)], [(level, 64, 0) for level in (0, 63, 64, 127, 128, 191, 192)]],
)
def test_impure_colours_and_too_many_are_refused(
    colours: list[tuple[int, int, int]], tmp_path: Path
) -> None:
    values = coloured((0, 0, 255), (0, 0, 0))
    for row, colour in enumerate([*colours, (255, 0, 255)], start=6):
        values[row, 7:21] = colour
    with pytest.raises(UnclearMaskError, match="colours"):
        read_mask(saved(tmp_path, values))


def test_smeared_colours_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, coloured((255, 0, 0), (0, 0, 0)), "mask.jpg", quality=60)
    with pytest.raises(UnclearMaskError, match="colours"):
        read_mask(path)


@pytest.mark.parametrize(
    "pair", [((68, 1, 84), (253, 231, 37)), ((255, 255, 255), (128, 128, 128))]
)
def test_two_colours_of_which_either_may_be_bone_are_refused(
    pair: tuple[tuple[int, ...], tuple[int, ...]], tmp_path: Path
) -> None:
    with pytest.raises(UnclearMaskError):
        read_mask(saved(tmp_path, coloured(*pair)))


@pytest.mark.parametrize("quality", [50, 90])
def test_jpeg_noise_is_taken_off_again(quality: int, tmp_path: Path) -> None:
    bone = np.kron(BONE, np.ones((16, 16), bool))
    bone[:300, :300] |= np.add.outer(np.arange(300), np.arange(300)) < 290  # a slanting edge
    path = saved(tmp_path, bone.astype(np.uint8) * 255, "mask.jpg", quality=quality)
    assert len(np.unique(np.asarray(Image.open(path)))) > 10
    assert (read_mask(path) != bone).mean() < 0.001


def test_soft_edges_are_cut_at_half(tmp_path: Path) -> None:
    big = Image.fromarray(np.kron(BONE, np.ones((16, 16), np.uint8)) * np.uint8(255))
    soft = big.rotate(7, Image.Resampling.BICUBIC)
    expected = np.asarray(soft) >= 128
    np.testing.assert_array_equal(read_mask(saved(tmp_path, soft)), expected)
    deep = np.asarray(soft).astype(np.uint16) * 257
    np.testing.assert_array_equal(read_mask(saved(tmp_path, deep, "deep.png")), expected)


def test_grey_beyond_an_edge_is_refused(tmp_path: Path) -> None:
    rest = np.kron(BONE, np.ones((16, 16), np.uint8)) * np.uint8(255)
    soft = np.asarray(Image.fromarray(rest).rotate(7, Image.Resampling.BICUBIC)).copy()
    soft[:100, :100] = 120  # a class of its own, 3 % of the pixels
    with pytest.raises(UnclearMaskError):
        read_mask(saved(tmp_path, soft))
    ramp = np.tile(np.arange(256, dtype=np.uint8), (20, 1))
    with pytest.raises(UnclearMaskError, match="256 values"):
        read_mask(saved(tmp_path, ramp))


@pytest.mark.parametrize(
    "levels",
    [(1, 2), (0, 1, 2), (0, 127, 255), (0, 1, 2, 3, 4, 5, 255), (254, 255), (0, 100, 200)],
    ids=str,
)
def test_classes_are_refused_by_their_values(levels: tuple[int, ...], tmp_path: Path) -> None:
    path = saved(tmp_path, np.kron(grey(*levels), np.ones((9, 9), np.uint8)))
    with pytest.raises(UnclearMaskError) as caught:
        read_mask(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert f"{levels[0]}, {levels[1]}" in message
    assert "0 = background and 255 = bone" in message


@pytest.mark.parametrize(("level", "expected"), [(0, False), (255, True), (1, True)])
def test_empty_and_full_masks_are_masks(level: int, expected: bool, tmp_path: Path) -> None:
    mask = read_mask(saved(tmp_path, np.full((4, 5), level, np.uint8)))
    assert mask.shape == (4, 5)
    assert (mask == expected).all()


def test_a_mask_of_one_grey_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnclearMaskError, match="only the value \\(128\\)"):
        read_mask(saved(tmp_path, np.full((4, 5), 128, np.uint8)))


def test_black_on_transparent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnclearMaskError, match="transparent"):
        read_mask(saved(tmp_path, coloured((0, 0, 0, 255), (0, 0, 0, 0))))


def test_another_size_than_the_film_is_refused_with_both(tmp_path: Path) -> None:
    path = saved(tmp_path, BONE.astype(np.uint8))
    with pytest.raises(MaskError, match=r"40 x 30 .* 80 x 60"):
        read_mask(path, shape=(80, 60))


def test_the_orientation_in_exif_is_honoured(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    path = saved(tmp_path, BONE.astype(np.uint8) * 255, exif=exif)
    np.testing.assert_array_equal(read_mask(path, shape=(30, 40)), np.rot90(BONE, -1))


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"x" * 40])
def test_what_is_no_image_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(content)
    with pytest.raises(MaskError) as caught:
        read_mask(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cut_off_file_a_missing_one_and_a_folder_are_refused(tmp_path: Path) -> None:
    whole = saved(
        tmp_path, np.random.default_rng(0).integers(0, 2, (99, 99), np.uint8)
    ).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    for name in ("cut.png", "missing.png", "."):
        with pytest.raises(MaskError):
            read_mask(tmp_path / name)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_and_a_film_strip_are_refused(tmp_path: Path) -> None:
    bomb = saved(tmp_path, Image.new("1", (20_000, 8_000)))
    assert bomb.stat().st_size < 100_000
    with pytest.raises(MaskError, match="pixels"):
        read_mask(bomb)
    frames = [Image.fromarray(BONE.astype(np.uint8) * 255)] * 2
    frames[0].save(tmp_path / "two.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(MaskError, match="several images"):
        read_mask(tmp_path / "two.tif")


def test_probabilities_and_stacks_are_not_written(tmp_path: Path) -> None:
    for wrong in (np.zeros((4, 4)), np.zeros((4, 4, 3), bool), np.zeros((0, 4), bool)):
        with pytest.raises(MaskError):
            write_mask(tmp_path / "mask.png", wrong)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="missing"):
        write_mask(tmp_path / "missing" / "mask.png", BONE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_rotated_tiff_is_read_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, grey(0, 255), "mask.tif", exif=exif)
    turned = read_mask(path)
    assert turned.shape == (BONE.shape if orientation < 5 else BONE.shape[::-1])
    assert turned.sum() == BONE.sum()
