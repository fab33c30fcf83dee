"""TIFFs are opened in either byte order, and have their tags."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from boneseg.errors import RadiographError
from boneseg.radiograph.read import read_radiograph
from boneseg.radiograph.tiff import open_tiff, tags_of
from tests.support import films


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_white_zero_is_inverted_in_either_byte_order(tmp_path, order, zipped):
    path = films.tiff(tmp_path / "a.tif", films.bone(), order, zipped=zipped, photometric=0)
    np.testing.assert_allclose(read_radiograph(path).pixels, 1 - films.bone() / 4095, atol=1e-6)


def test_a_tiff_that_is_not_read_is_not_asked_for_again(tmp_path):
    path = films.tiff(tmp_path / "a.tif", films.bone().astype(np.float64))
    with pytest.raises(RadiographError, match="is an unsupported or truncated TIFF"):
        read_radiograph(path)


def test_only_the_image_of_the_file_has_tags(tmp_path):
    path = films.tiff(tmp_path / "a.tif", films.bone(), "<", photometric=0)
    with path.open("rb") as file, open_tiff(file) as image:
        assert tags_of(image).get(262) == 0
        assert tags_of(Image.fromarray(np.asarray(image))) == {}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [0, 1])
def test_samples_of_16_bits_and_their_tags_are_those_of_the_file(tmp_path, order, photometric):
    """Whoever reads them inverts them."""
    path = films.tiff(tmp_path / "a.tif", films.bone(), order, photometric=photometric)
    with path.open("rb") as file:
        file.seek(4)  # as whoever has looked at its signature leaves it
        with open_tiff(file) as image:
            assert tags_of(image).get(262) == photometric
            np.testing.assert_array_equal(np.asarray(image), films.bone())
            assert tags_of(image).get(262) == photometric


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_other_samples_with_0_as_white_are_as_pillow_reads_them(tmp_path, order, kind):
    grey = films.bone(top=255).astype(kind)
    path = films.tiff(tmp_path / "a.tif", grey, order, photometric=0)
    with Image.open(path) as image, path.open("rb") as file, open_tiff(file) as ours:
        assert (ours.mode, ours.size) == (image.mode, image.size)
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(image))


@pytest.mark.parametrize("content", [b"", b"II*\0", b"II*\0\x08\0\0\0", b"\x89PNG" + bytes(60)])
def test_what_is_no_whole_tiff_is_not_opened(content):
    with pytest.raises(UnidentifiedImageError, match=r"^unsupported TIFF$"):
        open_tiff(io.BytesIO(content))
