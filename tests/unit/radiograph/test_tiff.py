"""TIFFs are opened in either byte order, and have their tags."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

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
