"""The shutter of a film: covered pixels are black and excluded from percentiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boneseg.radiograph.dicom.shutter import open_part
from boneseg.radiograph.read import read_radiograph
from tests.support import films
from tests.support.stored_values import BONE, pixels_with

RECTANGLE = {
    "ShutterShape": "RECTANGULAR",
    "ShutterUpperHorizontalEdge": 5,
    "ShutterLowerHorizontalEdge": 40,
    "ShutterLeftVerticalEdge": 9,
    "ShutterRightVerticalEdge": 60,
}


CIRCLE = {
    "ShutterShape": "CIRCULAR",
    "CenterOfCircularShutter": [24, 30],
    "RadiusOfCircularShutter": 15,
}


@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
def test_what_the_shutter_covers_is_black(tmp_path, interpretation):
    """Rows and columns are counted from 1, and the edges belong to what is seen."""
    pixels = pixels_with(tmp_path, PhotometricInterpretation=interpretation, **RECTANGLE)
    shown = BONE if interpretation == "MONOCHROME2" else 1 - BONE
    np.testing.assert_allclose(pixels[4:40, 8:60], shown[4:40, 8:60], atol=1e-6)
    pixels[4:40, 8:60] = 0
    assert not pixels.any()


def test_a_round_shutter_is_round_in_the_patient(tmp_path):
    pixels = pixels_with(tmp_path, **CIRCLE)
    assert pixels[23, 29 - 15] > 0 and pixels[23, 29 - 16] == 0
    assert pixels[23 - 15, 29] > 0 and pixels[23 - 16, 29] == 0
    tall = pixels_with(tmp_path, PixelSpacing=[0.3, 0.1], **CIRCLE)  # 15 widths are 5 heights
    assert tall[23, 29 - 15] > 0 and tall[23, 29 - 16] == 0
    assert tall[23 - 5, 29] > 0 and tall[23 - 6, 29] == 0


def test_the_least_of_several_shutters_stays_open(tmp_path):
    corners = [1, 1, 48, 1, 48, 64]  # row, column: the half below the diagonal
    both = CIRCLE | {"ShutterShape": ["CIRCULAR", "POLYGONAL"]}
    pixels = pixels_with(tmp_path, **both, VerticesOfThePolygonalShutter=corners)
    assert pixels[23 + 10, 29] > 0 and pixels[23 - 10, 29 + 5] == 0 and pixels[47, 2] == 0


@pytest.mark.parametrize(
    "words",
    [
        RECTANGLE | {"ShutterLowerHorizontalEdge": 0},
        RECTANGLE | {"ShutterLowerHorizontalEdge": None},
        CIRCLE | {"RadiusOfCircularShutter": 0},
        {"ShutterShape": "POLYGONAL"},
        {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 1, 9]},
        {
            "ShutterShape": "POLYGONAL",
            "VerticesOfThePolygonalShutter": [1, 1, 2147483647, 1, 1, -2147483648],
        },
        CIRCLE | {"CenterOfCircularShutter": [2147483647, 2147483647]},
        CIRCLE | {"CenterOfCircularShutter": [24]},
        RECTANGLE | {"ShutterLeftVerticalEdge": 2147483647},
        RECTANGLE | {"ShutterLeftVerticalEdge": 60, "ShutterRightVerticalEdge": 9},
        {"ShutterShape": "BITMAP"},
        {"ShutterShape": ""},
    ],
)
def test_a_shutter_that_hides_everything_or_is_invalid_is_ignored(tmp_path, words):
    words = {key: value for key, value in words.items() if value is not None}
    np.testing.assert_allclose(pixels_with(tmp_path, **words), BONE, atol=1e-6)


def test_covered_pixels_are_excluded_from_percentiles(tmp_path):
    stored = films.bone(top=900) + np.uint16(1000)
    stored[:, :8] = stored[:4] = stored[40:] = stored[:, 60:] = 65535  # bare film
    pixels = read_radiograph(films.dicom(tmp_path / "a.dcm", stored, **RECTANGLE)).pixels
    assert pixels[4:40, 8:60].std() > 0.2


@given(
    top=st.integers(-5, 30),
    tall=st.integers(0, 60),
    left=st.integers(-5, 30),
    aside=st.integers(-9, 9),
)
def test_a_polygon_of_four_corners_is_the_rectangle(top, tall, left, aside):
    bottom, right = top + tall, left + tall + aside
    edges = {
        "ShutterUpperHorizontalEdge": [top],
        "ShutterLowerHorizontalEdge": [bottom],
        "ShutterLeftVerticalEdge": [left],
        "ShutterRightVerticalEdge": [right],
        "VerticesOfThePolygonalShutter": [top, left, top, right, bottom, right, bottom, left],
    }

    def shape(word):
        return open_part([word], lambda name: edges.get(name, []), (40, 50), 1.0)

    if bottom > top and right > left:  # else the polygon is a line
        np.testing.assert_array_equal(shape("RECTANGULAR"), shape("POLYGONAL"))
